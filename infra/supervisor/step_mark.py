"""The record that a worker is at, kept where it outlives the worker: 16 bytes of a mapped file."""

import mmap
import os
import struct
from pathlib import Path

from infra.supervisor.roster import Mark

_LAYOUT = struct.Struct("<qq")
_NOWHERE = -1


def mark_path(run_folder: Path, role: str) -> Path:
    """Where a role keeps its mark: `run/{role}.mark`."""
    return run_folder / f"{role.replace(':', '-')}.mark"


class StepMark:
    """Written by the worker before it steps a block and cleared after it; costs no system call.

    The pages belong to the system, so they survive SIGKILL and SIGSEGV of the process.
    """

    def __init__(self, path: Path) -> None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(handle, _LAYOUT.size)
            self._pages = mmap.mmap(handle, _LAYOUT.size)
        finally:
            os.close(handle)
        self.clear()

    def at(self, partition: int, offset: int) -> None:
        """The record at `offset` is being stepped."""
        _LAYOUT.pack_into(self._pages, 0, partition, offset)

    def clear(self) -> None:
        """Nothing is being stepped."""
        self.at(_NOWHERE, _NOWHERE)

    def close(self) -> None:
        """Clear and unmap."""
        self.clear()
        self._pages.close()


def take_mark(path: Path) -> Mark | None:
    """What a dead worker left, None when it was stepping nothing; the file is removed."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    path.unlink(missing_ok=True)
    if len(content) != _LAYOUT.size:
        return None
    mark = Mark(*_LAYOUT.unpack(content))
    return mark if mark.offset >= 0 else None
