"""Telemetry that waits for earlier one: put into the order of event time, as far as a type's window reaches."""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.clock import NS_PER_S
from streams.block import Block, Header, Record
from streams.processor import RESERVED_KEY_PREFIX

HELD_KEY_PREFIX = RESERVED_KEY_PREFIX + b"held/"
"""Records that wait lie in the changelog, each under its offset, until they were stepped."""

NEVER_NS = -(1 << 63)
"""Before all event times."""


class HeldRecord(msgspec.Struct, frozen=True, array_like=True):
    """A record that waits.

    Attributes:
        offset: In the input.
        timestamp_ms: Its time of writing, UTC.
        key: Twin id.
        value: As it came.
        headers: As they came.
        time_ns: Event time, UTC.
        received_ns: Arrival, UTC.
    """

    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes | None
    headers: tuple[Header, ...]
    time_ns: int
    received_ns: int

    def record(self) -> Record:
        """As part of a block."""
        return self.offset, self.timestamp_ms, self.key, self.value, self.headers


class Reordering:
    """The records of one partition that wait.

    A record is stepped when its twin has sent one that is later by the window, or when a tick tells that it arrived a
    window ago. Both are data of the input, so that a replay lets the same records go at the same places.

    Args:
        window_s: How long a record waits for earlier ones; with 0 none does.

    Attributes:
        suspected: Offsets of records that are to be stepped each by itself, and why one is not to be stepped at all.
    """

    def __init__(self, window_s: float) -> None:
        self.suspected: Mapping[int, str] = {}
        self._window_ns = round(window_s * NS_PER_S)
        self._twins: defaultdict[bytes, list[tuple[int, int]]] = defaultdict(list)
        self._newest: dict[bytes, int] = {}
        self._records: dict[int, HeldRecord] = {}
        self._written: set[int] = set()
        self._let_go: set[int] = set()

    def __bool__(self) -> bool:
        """Whether anything waits, or may have to."""
        return bool(self._window_ns or self._records)

    def under(self, window_s: float) -> "Reordering":
        """The same under another version, which may have another window; nothing waits any more."""
        later = Reordering(window_s)
        later._written, later._let_go = self._written, self._let_go
        later.suspected = self.suspected
        return later

    def take(
        self,
        block: Block,
        time_ns: NDArray[np.int64],
        received_ns: NDArray[np.int64],
        refused: Sequence[int],
        stepped_ns: Callable[[bytes], int],
    ) -> Block:
        """Hold n records back, and give those that are due.

        Args:
            block: Telemetry.
            time_ns: (n,) event time.
            received_ns: (n,) arrival.
            refused: Indices of those that nobody can use, which wait for nothing.
            stepped_ns: Event time up to which a twin was stepped, `NEVER_NS` for one that never was.

        Returns:
            What is to be stepped now, of each twin in the order of event time.
        """
        due: list[Record] = []
        unusable = set(refused)
        for index, (at_ns, came_ns) in enumerate(zip(time_ns.tolist(), received_ns.tolist(), strict=True)):
            offset, timestamp_ms = block.offset(index), int(block.timestamps_ms[index])
            key, value, headers = block.key(index) or b"", block.value(index), block.headers(index)
            if index in unusable:
                due.append((offset, timestamp_ms, block.key(index), value, headers))
                continue
            self._hold(HeldRecord(offset, timestamp_ms, key, value, headers, at_ns, came_ns))
            # Nothing counts that a restart would forget: what waits, and what the row knows.
            latest_ns = max(self._newest[key], stepped_ns(key))
            due += [held.record() for held in self._upto(key, latest_ns - self._window_ns)]
        return Block.of_records(block.partition, due)

    def tick(self, partition: int, time_ns: int) -> Block:
        """What a tick lets go: records that arrived a window before `time_ns`, and earlier ones of their twins."""
        upto: dict[bytes, int] = {}
        for held in self._records.values():
            if held.received_ns + self._window_ns <= time_ns:
                upto[held.key] = max(upto.get(held.key, NEVER_NS), held.time_ns)
        return _block(partition, [held for key, last_ns in upto.items() for held in self._upto(key, last_ns)])

    def everything(self, partition: int) -> Block:
        """All that waits."""
        return _block(partition, [held for key in list(self._twins) for held in self._upto(key, None)])

    def parts(self, block: Block) -> Iterator[tuple[Block, str]]:
        """Cut a block that was let go so that suspected records come one by one, with why one is not to be stepped."""
        first = 0
        for index, offset in enumerate(block.offsets.tolist() if self.suspected else ()):
            if offset in self.suspected:
                if first < index:
                    yield block.part(first, index), ""
                yield block.part(index, index + 1), self.suspected[offset]
                first = index + 1
        if first < len(block):
            yield block.part(first, len(block)), ""

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take in what `snapshot` wrote."""
        offset = int(key.removeprefix(HELD_KEY_PREFIX))
        if value is None:
            self._written.discard(offset)
            self._records.pop(offset, None)
            return
        self._written.add(offset)
        self._records[offset] = msgspec.msgpack.decode(value, type=HeldRecord)

    def restored(self) -> None:
        """Order what was restored."""
        self._twins.clear()
        self._newest.clear()
        for held in self._records.values():
            self._hold(held)

    def snapshot(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Rows of the changelog for what waits, and none any more for what was let go."""
        for offset in self._let_go & self._written:
            yield _key(offset), None
        self._written -= self._let_go
        self._let_go.clear()
        for offset in self._records.keys() - self._written:
            yield _key(offset), msgspec.msgpack.encode(self._records[offset])
        self._written |= self._records.keys()

    def _hold(self, held: HeldRecord) -> None:
        self._records[held.offset] = held
        heapq.heappush(self._twins[held.key], (held.time_ns, held.offset))
        self._newest[held.key] = max(self._newest.get(held.key, NEVER_NS), held.time_ns)

    def _upto(self, key: bytes, last_ns: int | None) -> Iterator[HeldRecord]:
        """Let go what a twin sent up to an event time, None for all of it, in order."""
        waiting = self._twins[key]
        while waiting and (last_ns is None or waiting[0][0] <= last_ns):
            _, offset = heapq.heappop(waiting)
            self._let_go.add(offset)
            yield self._records.pop(offset)
        if not waiting:
            del self._twins[key], self._newest[key]


def _key(offset: int) -> bytes:
    return HELD_KEY_PREFIX + b"%d" % offset


def _block(partition: int, held: list[HeldRecord]) -> Block:
    """A block in the order of event time, whatever the order of twins was."""
    held.sort(key=lambda one: (one.time_ns, one.offset))
    return Block.of_records(partition, [one.record() for one in held])
