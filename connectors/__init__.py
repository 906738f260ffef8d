"""What talks to the world: one folder per technology, each blind to the others."""
