"""When records of a block arrived, and which of them are telemetry: one answer for all who ask."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from schemas.clock import LATEST_NS
from schemas.headers import HOPS, KIND, RECEIVED, REDRIVE, SOURCE, TRACEPARENT, Kind
from streams.block import Block
from streams.unpacking import HeaderNames, find_headers

_LATEST_MS = LATEST_NS // 1_000_000
_MOST_DIGITS = 19
_ZERO, _NINE = b"09"

_ALL = HeaderNames(RECEIVED, SOURCE, KIND, HOPS, REDRIVE, TRACEPARENT)
_TELEMETRY = np.frombuffer(Kind.TELEMETRY.value.encode(), np.uint8)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What n records say about their way here.

    Attributes:
        received_ns: (n,) int64 arrival, from 0 to `LATEST_NS`: fixed by the bridge, where its header is such a time in
            digits, else the record's time of writing.
        hops: (n,) int64, how often each was routed from twin to twin, -1 where that can't be read; None for all 0.
        sources: (n, 2) int64, first byte and size of the header that names the source, size 0 for none; None for none
            at all.
        traced: (n, 2) int64, the same of the header that names the trace.
    """

    received_ns: NDArray[np.int64]
    hops: NDArray[np.int64] | None
    sources: NDArray[np.int64] | None = None
    traced: NDArray[np.int64] | None = None

    def part(self, first: int, last: int) -> "Arrivals":
        """Of records `first` to `last`, the latter excluded."""
        hops = None if self.hops is None else self.hops[first:last]
        sources = None if self.sources is None else self.sources[first:last]
        traced = None if self.traced is None else self.traced[first:last]
        hops = hops if hops is not None and hops.any() else None
        return Arrivals(self.received_ns[first:last], hops, sources, traced)


def arrivals(block: Block) -> tuple[Arrivals, NDArray[np.int64]]:
    """How n records came here.

    Returns:
        That, and the indices of those that are no telemetry, increasing; of what can't be read, and of what was a dead
        letter before, too.
    """
    received_ns = _written_ns(block)
    marks = np.zeros(len(block), np.bool_)
    hops = sources = traced = None
    found = find_headers(block.data, block.places, _ALL)
    if found is not None:
        stamps, sources, kinds, routed, redriven, traced = found
        if not traced[:, 1].any():
            traced = None
        _take_stamps(block.data, stamps, received_ns)
        _mark_others(block.data, kinds, _TELEMETRY, marks)
        marks |= redriven[:, 1] > 0
        if routed[:, 1].any():
            hops = np.zeros(len(block), np.int64)
            _take_hops(block.data, routed, hops)
    if block.unreadable:
        marks |= np.isin(block.offsets, list(block.unreadable))
    return Arrivals(received_ns, hops, sources, traced), np.flatnonzero(marks)


def arrival_ns(stamp: bytes, timestamp_ms: int) -> int:
    """Arrival of one record as of `Arrivals`, by the bridge's header, `b""` for none, and its time of writing."""
    if stamp.isdigit() and len(stamp) <= _MOST_DIGITS and (fixed_ns := int(stamp)) <= LATEST_NS:
        return fixed_ns
    return min(max(timestamp_ms, 0), _LATEST_MS) * 1_000_000


def warm_up() -> None:
    """Compile, or load what was compiled before, where no event loop waits for it."""
    block = Block.of_records(
        0, [(0, 0, None, None, [(RECEIVED, b"1"), (KIND, b"none"), (HOPS, b"1"), (REDRIVE, b"1")])]
    )
    arrivals(block)


def _written_ns(block: Block) -> NDArray[np.int64]:
    written: NDArray[np.int64] = np.clip(block.timestamps_ms, 0, _LATEST_MS) * 1_000_000
    return written


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
