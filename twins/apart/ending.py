"""Ending a process and whatever it started, as far as the machine lets us find that."""

import contextlib
import os
import signal

import psutil

MARK = "TWINSTREAM_STEPS"
"""Environment of a process and of all that it starts, by which they are found whatever has become of their parents."""

_ROUNDS = 10


def kill_group(pid: int) -> None:
    """Kill a process, its group, and those that descend from it."""
    descendants: list[psutil.Process] = []
    # Those with a group and an environment of their own are found as long as their parents live.
    with contextlib.suppress(psutil.Error, OSError):
        descendants = psutil.Process(pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for process in descendants:
        with contextlib.suppress(psutil.Error, OSError):
            process.kill()


def kill_marked(mark: str, first: int) -> None:
    """Kill those with a mark that have left the group of the first of them, until none is found."""
    # Without a file number nobody can be looked for.
    with contextlib.suppress(psutil.Error, OSError):
        for _ in range(_ROUNDS):
            others = (process for process in psutil.process_iter() if process.pid != first)
            found = [process for process in others if _is_marked(process, mark)]
            for process in found:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if not found:
                break


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except psutil.Error:
        return False


def how(code: int) -> str:
    """How a process ended, by its exit code."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
