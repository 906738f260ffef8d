"""Ticks of one partition: time goes by for all its twins, in the order of the input like everything else."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from schemas.definition import Definition
from schemas.headers import KIND, Kind
from schemas.tick import read_tick
from streams.block import Block
from streams.processor import RESERVED_KEY_PREFIX, Outcome
from twins import admission
from twins.firing import Firing
from twins.kernel.commands import SENT
from twins.kernel.run import KernelRun
from twins.record import header, received_ns
from twins.routing import Routes
from twins.rows import RowTable
from twins.series import Series

TICK_KEY = RESERVED_KEY_PREFIX + b"tick"
"""Time of the last tick, in digits: a later owner of the partition ignores ticks that do not lead beyond it."""

_PART_BYTES = 16 << 20
"""So much of the rows is compared with what it was before at a time."""

_TICK = Kind.TICK.value.encode()


def is_tick(block: Block, index: int) -> bool:
    """Whether a record is a tick."""
    return block.offset(index) not in block.unreadable and header(block, index, KIND) == _TICK


class Ticks:
    """Steps the twins of a partition on its ticks."""

    def __init__(
        self,
        definition: Definition,
        table: RowTable,
        kernel: KernelRun,
        series: Series,
        firing: Firing,
        routes: Routes,
    ) -> None:
        self._has_ticks = bool(definition.tick_s)
        self._table = table
        self._kernel = kernel
        self._series = series
        self._firing = firing
        self._routes = routes
        self._written_ns = 0

    def restore(self, value: bytes | None) -> None:
        """Take in what `snapshot` wrote."""
        self._table.tick_ns = self._written_ns = int(value or b"0")

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        """The last tick, when it is not yet in the changelog."""
        if self._table.tick_ns != self._written_ns:
            self._written_ns = self._table.tick_ns
            yield TICK_KEY, b"%d" % self._written_ns

    def time_of(self, block: Block, index: int) -> int | None:
        """Time that a tick tells, UTC nanoseconds; None where an earlier one told the same or a later one.

        Raises:
            PayloadError: the record can't be read.
        """
        time_ns = read_tick(block.value(index) or b"")
        return time_ns if self._has_ticks and time_ns > self._table.tick_ns else None

    def take(self, block: Block, index: int, outcome: Outcome) -> None:
        """Step every twin, unless an earlier tick told the same time or a later one.

        Raises:
            PayloadError: the record can't be read; nothing was stepped.
        """
        time_ns, table = self.time_of(block, index), self._table
        if time_ns is None:
            outcome.count("tick_ignored")
            return
        offset, received = block.offset(index), received_ns(block, index)
        for slot in self._parts():
            self._step(slot, offset, time_ns, received, outcome)
        table.tick_ns = time_ns
        outcome.count("tick")

    def _parts(self) -> Iterator[NDArray[np.int64]]:
        """All twins in the order of their ids, which unlike that of rows is the same after a restart."""
        slots = np.array([slot for _, slot in sorted(self._table.slots.items())], np.int64)
        size = max(1, _PART_BYTES // self._table.layout.dtype.itemsize)
        for first in range(0, len(slots), size):
            yield slots[first : first + size]

    def _step(self, slot: NDArray[np.int64], offset: int, time_ns: int, received: int, outcome: Outcome) -> None:
        count = len(slot)
        found = self._kernel.tick(slot, offset, time_ns)
        offsets, arrivals, times = (np.full(count, number, np.int64) for number in (offset, received, time_ns))
        stepped = found.status == admission.ACCEPTED
        lines = self._series.add(slot, times, found.values, stepped, outcome, on_tick=True)
        found.fired[(found.status == admission.FAILED) | (found.status == admission.NOT_FINITE), -1] = SENT
        self._firing.fire(slot, offsets, arrivals, times, found, outcome)
        if self._routes:
            self._routes.send(slot, offsets, arrivals, times, lines, found, None, outcome)
