"""Keeping processes running: what to do is decided in `roster`, done in `supervisor`."""
