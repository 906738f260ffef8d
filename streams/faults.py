"""What is known of a partition's failures: how long to wait, and which records are suspected."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from streams.block import Block

FIRST_DELAY_S = 0.1
LAST_DELAY_S = 30.0
CONDEMNED_AFTER = 2
_DOUBLINGS = 16


@dataclass(slots=True)
class Faults:
    """Failures of one partition since it last got on. Outlives the rows that failed.

    A block that fails is stepped record by record after the rebuild, so that the next failure names its record; a
    record that fails twice by itself is given up as a dead letter, and the partition goes on behind it; one that the
    processor insists on is tried again, later and later.

    Attributes:
        count: Failures without progress between them.
        first: First suspected offset.
        end: Offset after the last suspected one.
        standing: Why the partition can't go on, `""` while it can.
    """

    count: int = 0
    first: int = 0
    end: int = 0
    standing: str = ""
    _alone: Counter[int] = field(default_factory=Counter)
    _latest: str = ""
    _reached: int = -1

    def delay_s(self) -> float:
        """Note a failure; how long to wait before the partition is rebuilt."""
        self.count += 1
        return min(FIRST_DELAY_S * 2.0 ** min(self.count - 1, _DOUBLINGS), LAST_DELAY_S)

    def suspect(self, block: Block, error: BaseException) -> None:
        """A block could not be stepped."""
        self._latest = f"{type(error).__name__}: {error}"
        if len(block) == 1:
            self._alone[int(block.offsets[0])] += 1
            if self._alone[int(block.offsets[0])] == CONDEMNED_AFTER:
                self.count = 0  # the next attempt passes it
        if self.end <= block.start:
            self.first, self.end = block.start, block.end
        else:
            self.first, self.end = min(self.first, block.start), max(self.end, block.end)

    def parts(self, block: Block) -> Iterator[tuple[Block, str]]:
        """Cut a block so that suspected records come one by one.

        Yields:
            A part, and why it is to be given up; empty when it is to be stepped.
        """
        if not self.end or block.end <= self.first or block.start >= self.end or not len(block):
            yield block, ""
            return
        offsets = block.offsets
        first, last = (int(index) for index in offsets.searchsorted((self.first, self.end)))
        if first:
            yield block.part(0, first), ""
        for index in range(first, last):
            condemned = self._alone[int(offsets[index])] >= CONDEMNED_AFTER
            yield block.part(index, index + 1), self._latest if condemned else ""
        if last < len(block):
            yield block.part(last, len(block)), ""

    def reached(self, position: int) -> None:
        """Everything below `position` is committed."""
        if position > self._reached:
            self.count = 0
        self._reached = position
        if self.end and position >= self.end:
            self.first = self.end = 0
            self._alone.clear()
