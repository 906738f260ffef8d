"""Measuring speed on this machine: the same job done by this engine and by others, in one run against one broker."""
