"""Servers that need no root, no Docker and no service that is already running."""
