"""The compiled pass over a block: its source, its compilation, its runs."""
