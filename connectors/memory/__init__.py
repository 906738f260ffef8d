"""Connectors that live in the process, for tests."""
