"""The records that a worker is at and since when, kept where it outlives the worker: 32 bytes of a mapped file."""

import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple

from infra.supervisor.roster import Mark
from schemas.clock import Clock, SystemClock

_LAYOUT = struct.Struct("<qqqd")
_NOWHERE = -1


def mark_path(run_folder: Path, role: str) -> Path:
    """Where a role keeps its mark: `run/{role}.mark`."""
    return run_folder / f"{role.replace(':', '-')}.mark"


class Standing(NamedTuple):
    """Where a living worker is.

    Attributes:
        since_s: When it came there, on the monotonic clock, which all processes of a machine share.
    """

    mark: Mark
    since_s: float


class StepMark:
    """Written by the worker before it steps a block and cleared after it; costs no system call.

    The pages belong to the system, so they survive SIGKILL and SIGSEGV of the process.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(handle, _LAYOUT.size)
            self._pages = mmap.mmap(handle, _LAYOUT.size)
        finally:
            os.close(handle)
        self.clear()

    def at(self, partition: int, offset: int, end: int) -> None:
        """The records from `offset` to before `end` are being stepped."""
        _LAYOUT.pack_into(self._pages, 0, partition, offset, end, self._clock.monotonic_s())

    def clear(self) -> None:
        """Nothing is being stepped."""
        self.at(_NOWHERE, _NOWHERE, _NOWHERE)

    def close(self) -> None:
        """Clear and unmap."""
        self.clear()
        self._pages.close()


def take_mark(path: Path) -> Mark | None:
    """What a dead worker left, None when it was stepping nothing; the file is removed."""
    standing = read_mark(path)
    path.unlink(missing_ok=True)
    return None if standing is None else standing.mark


def read_mark(path: Path) -> Standing | None:
    """Where a worker is, None when it steps nothing; torn when read in the moment of writing, so look twice."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(content) != _LAYOUT.size:
        return None
    partition, offset, end, since_s = _LAYOUT.unpack(content)
    return Standing(Mark(partition, offset, end), since_s) if offset >= 0 else None
