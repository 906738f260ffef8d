"""Built-in steps, and library functions that an author's own steps may import."""
