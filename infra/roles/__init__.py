"""What each process of an instance does."""
