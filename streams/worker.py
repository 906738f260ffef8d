"""Runs an engine's Faust app in this process until it is told to stop."""

import logging
import sys

import faust

from streams.engine import Engine


class _Worker(faust.Worker):
    """Faust's worker, which would sleep for a second once everything has ended."""

    async def _sentinel_task(self) -> None:
        pass


def run_worker(engine: Engine) -> int:
    """Block until SIGTERM or SIGINT; return the exit code.

    Faust's worker takes over signals and the event loop of this thread.
    """
    worker = _Worker(
        engine.app,
        daemon=True,
        quiet=True,
        loglevel=logging.WARNING,
        override_logging=False,
        redirect_stdouts=False,
        console_port=None,
        debug=False,
    )
    # Faust's spinner writes terminal codes into whatever stdout is.
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    finally:
        sys.stdout.flush()
    return 0
