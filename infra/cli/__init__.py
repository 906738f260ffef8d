"""The command line `twinstream`."""

from infra.cli.app import main

__all__ = ["main"]
