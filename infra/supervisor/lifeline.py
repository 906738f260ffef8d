"""A child never outlives its parent, however the parent ends."""

import atexit
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from typing import NoReturn

import psutil

PARENT_VARIABLE = "TWINSTREAM_PARENT"
_LOOK_S = 1.0
_GRACE_S = 5
_PR_SET_PDEATHSIG = 1


def supervised() -> bool:
    """Whether a supervisor started this process."""
    return PARENT_VARIABLE in os.environ


def follow_parent() -> None:
    """End with SIGTERM when the supervisor that started this process ends; without one, do nothing.

    Linux tells by itself; a thread that looks every second covers other systems, and sees to it that a process which
    does not stop when asked is ended by the system's alarm, which needs nothing of the interpreter any more.
    """
    named = os.environ.get(PARENT_VARIABLE)
    if not named:
        return
    parent = int(named)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked to be told
        raise SystemExit(1)
    # Threads of ours stand still once the interpreter is being taken down, which may hang in foreign code.
    atexit.register(signal.alarm, _GRACE_S)
    threading.Thread(target=_watch, args=(parent,), name="lifeline", daemon=True).start()


def leave(code: int) -> NoReturn:
    """End this process at once, and what it started: Python's own end takes compilers apart and waits for threads.

    Nothing may be left to be done.
    """
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(code)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    signal.alarm(_GRACE_S)
    os.kill(os.getpid(), signal.SIGTERM)
