"""Putting versions of twin types into force in the running system."""
