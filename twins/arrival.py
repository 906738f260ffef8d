"""When records of a block arrived, and which of them are telemetry: one answer for all who ask."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from schemas.clock import LATEST_NS
from schemas.headers import HOPS, KIND, RECEIVED, Kind
from streams.block import Block
from streams.unpacking import find_header

_LATEST_MS = LATEST_NS // 1_000_000
_MOST_DIGITS = 19
_ZERO, _NINE = b"09"

_RECEIVED = np.frombuffer(RECEIVED.encode(), np.uint8)
_HOPS = np.frombuffer(HOPS.encode(), np.uint8)
_KIND = np.frombuffer(KIND.encode(), np.uint8)
_TELEMETRY = np.frombuffer(Kind.TELEMETRY.value.encode(), np.uint8)


def arrivals_ns(block: Block) -> NDArray[np.int64]:
    """Arrival of each record, (n,) int64 from 0 to `LATEST_NS`: fixed by the bridge, else the record's time of writing.

    A bridge's header counts when it is such a time, in digits.
    """
    written = np.clip(block.timestamps_ms, 0, _LATEST_MS) * 1_000_000
    stamped = find_header(block.data, block.places, _RECEIVED)
    if stamped is not None:
        _take_stamps(block.data, stamped, written)
    return written


def others(block: Block) -> NDArray[np.int64]:
    """Indices of the records that are no telemetry, increasing; of what can't be read, too."""
    found = find_header(block.data, block.places, _KIND)
    marks = np.zeros(len(block), np.bool_)
    if found is not None:
        _mark_others(block.data, found, _TELEMETRY, marks)
    if block.unreadable:
        marks |= np.isin(block.offsets, list(block.unreadable))
    return np.flatnonzero(marks)


def hops(block: Block) -> NDArray[np.int64] | None:
    """How often each record was routed from twin to twin, (n,) int64, -1 where that can't be read; None for all 0."""
    found = find_header(block.data, block.places, _HOPS)
    if found is None or not found[:, 1].any():
        return None
    read = np.zeros(len(block), np.int64)
    _take_hops(block.data, found, read)
    return read


def warm_up() -> None:
    """Compile, or load what was compiled before, where no event loop waits for it."""
    block = Block.of_records(0, [(0, 0, None, None, [(RECEIVED, b"1"), (KIND, b"none"), (HOPS, b"1")])])
    arrivals_ns(block)
    hops(block)
    others(block)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _take_stamps(data: Any, stamped: Any, arrivals: Any) -> None:  # noqa: ANN401
    for r in range(stamped.shape[0]):
        at, size = stamped[r, 0], stamped[r, 1]
        if 0 < size <= _MOST_DIGITS:
            number = np.uint64(0)
            for i in range(at, at + size):
                if data[i] < _ZERO or data[i] > _NINE:
                    size = 0
                    break
                number = number * np.uint64(10) + np.uint64(data[i] - _ZERO)
            if size and number <= np.uint64(LATEST_NS):
                arrivals[r] = number


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _take_hops(data: Any, found: Any, hops: Any) -> None:  # noqa: ANN401
    for r in range(found.shape[0]):
        at, size = found[r, 0], found[r, 1]
        for i in range(at, at + size):
            if data[i] < _ZERO or data[i] > _NINE or size >= _MOST_DIGITS:
                hops[r] = -1
                break
            hops[r] = hops[r] * 10 + (data[i] - _ZERO)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _mark_others(data: Any, found: Any, usual: Any, marks: Any) -> None:  # noqa: ANN401
    for r in range(found.shape[0]):
        at, size = found[r, 0], found[r, 1]
        same = size == usual.shape[0]
        for i in range(size if same else 0):
            same = same and data[at + i] == usual[i]
        marks[r] = size > 0 and not same
