"""The memory that a worker and a process of its steps share: the arrays of a wave, and which record is in work."""

import mmap
import os
import tempfile
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twins.apart.plan import Function
from twins.kernel.uncompiled import RESULT_TYPES, Answer

SEGMENT_BYTES = 4 << 20
"""Of which the system provides what is used."""

_ALIGNED = 64
_HEAD_BYTES = _ALIGNED
IN_WORK = 0
"""Mark: the record that is being stepped."""

IMPORTED = 1
"""Mark: the last record for which a module was imported, counted from 1."""


def new_segment() -> int:
    """Open the memory; a file that has no name and ends with those who have it open."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("twinstream-steps")
    else:
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    os.ftruncate(handle, SEGMENT_BYTES)
    return handle


class Segment:
    """One side's view.

    Attributes:
        marks: (8,) int64, written by the process that steps.
    """

    def __init__(self, handle: int) -> None:
        self._pages = mmap.mmap(handle, SEGMENT_BYTES)
        self.marks: NDArray[np.int64] = np.frombuffer(self._pages, np.int64, _HEAD_BYTES // 8)

    def arrays(self, function: Function, records: int) -> tuple[NDArray[np.void], Answer]:
        """What is given for so many records, and the room for what becomes of them."""
        at = _HEAD_BYTES
        found = []
        for dtype in _dtypes(function):
            array = np.frombuffer(self._pages, dtype, records, at) if dtype.itemsize else np.zeros(records, dtype)
            found.append(array)
            at += _padded(array.nbytes)
        given, state, *results = found
        return given, Answer(
            {name: array for (name, _), array in zip(function.step.outputs, results, strict=True)}, state
        )


def records_at_once(function: Function) -> int:
    """How many records of a function fit."""
    dtypes = _dtypes(function)
    room = SEGMENT_BYTES - _HEAD_BYTES - _ALIGNED * len(dtypes)
    return max(1, room // max(1, sum(dtype.itemsize for dtype in dtypes)))


@cache
def _dtypes(function: Function) -> list[np.dtype[Any]]:
    results: list[np.dtype[Any]] = [np.dtype(RESULT_TYPES[kind]) for _, kind in function.step.outputs]
    return [function.given.dtype, function.state.dtype, *results]


def _padded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
