"""Files that others read while they are written: written beside, and put in place at once."""

import glob
import os
import threading
from pathlib import Path

import psutil

PRIVATE = 0o600
"""Readable by its owner only."""
_USUAL = 0o666


def put_file(path: Path, content: str | bytes, *, mode: int = _USUAL, durable: bool = False) -> None:
    """Write a whole file; who reads it meanwhile, or after a crash, sees the old one or the new one.

    Args:
        path: Of the file; its folder is there.
        content: What it shall hold; text as UTF-8.
        mode: Its permissions, less what the umask takes. What the old one had does not matter.
        durable: Whether the disk has it before it is put in place, so that it is whole also after a loss of power.

    Raises:
        OSError: it could not be written; the old one is as it was, and nothing is left beside it.
    """
    _clear(path)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        # Nobody reads it before it has its permissions, and no link leads it elsewhere.
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _clear(path: Path) -> None:
    """Remove what writers of this file left that were killed, those that had our number among them."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.new"):
        pid, thread = left.name.split(".")[-3:-1]
        ours = (pid, thread) == (str(os.getpid()), str(threading.get_ident()))
        if ours or not (pid.isdecimal() and psutil.pid_exists(int(pid))):
            left.unlink(missing_ok=True)
