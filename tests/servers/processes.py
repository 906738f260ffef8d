"""What tests ask about processes."""

import time

import psutil


def gone(pid: int, within_s: float) -> bool:
    """Whether the process ends within that time; one that only waits to be reaped has ended."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
