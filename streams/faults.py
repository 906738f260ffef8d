"""What is known of a partition's failures: how long to wait, and which records are suspected."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from streams.block import Block
from streams.processor import HeldRecordsError

FIRST_DELAY_S = 0.1
LAST_DELAY_S = 30.0
CONDEMNED_AFTER = 2
_DOUBLINGS = 16


@dataclass(slots=True)
class Faults:
    """Failures of one partition since it last got on. Outlives the rows that failed.

    A block that fails is stepped record by record after the rebuild, so that the next failure names its record; a
    record that fails twice by itself is given up as a dead letter, and the partition goes on behind it; one that the
    processor insists on is tried again, later and later. One that the processor held back is told from those that it
    came with.

    Attributes:
        count: Failures without progress between them.
        flushes: Those of them that were a transaction's.
        first: First suspected offset.
        end: Offset after the last suspected one.
        standing: Why the partition can't go on, `""` while it can.
        stands_at: Offset of the record that it stands before.
        held: Suspected ones of those that the processor holds back, and why each is to be given up, as of `parts`;
            another mapping after each change.
    """

    count: int = 0
    flushes: int = 0
    first: int = 0
    end: int = 0
    standing: str = ""
    stands_at: int = 0
    held: Mapping[int, str] = field(default_factory=dict)
    _alone: Counter[int] = field(default_factory=Counter)
    _whys: dict[int, str] = field(default_factory=dict)
    _held: set[int] = field(default_factory=set)
    _reached: int = -1

    def delay_s(self) -> float:
        """Note a failure; how long to wait before the partition is rebuilt."""
        self.count += 1
        return min(FIRST_DELAY_S * 2.0 ** min(self.count - 1, _DOUBLINGS), LAST_DELAY_S)

    def suspect(self, block: Block, error: BaseException) -> None:
        """A block could not be stepped."""
        blamed, cause = block.offsets.tolist(), error
        if isinstance(error, HeldRecordsError):
            blamed, cause = list(error.offsets), error.__cause__ or error
            self._held.update(blamed)
        if len(blamed) == 1:
            self._alone[blamed[0]] += 1
            self._whys[blamed[0]] = f"{type(cause).__name__}: {cause}"
            if self._alone[blamed[0]] == CONDEMNED_AFTER:
                self.count = 0  # the next attempt passes it
        if self._held:
            self.held = {offset: self._condemned(offset) for offset in self._held}
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
            yield block.part(index, index + 1), self._condemned(int(offsets[index]))
        if last < len(block):
            yield block.part(last, len(block)), ""

    def _condemned(self, offset: int) -> str:
        return self._whys[offset] if self._alone[offset] >= CONDEMNED_AFTER else ""

    def reached(self, position: int) -> None:
        """Everything below `position` is committed."""
        if position > self._reached:
            self.count = self.flushes = 0
        self._reached = position
        if self.end and position >= self.end:
            self.first = self.end = 0
            self._alone.clear()
            self._whys.clear()
            if self._held:
                self._held.clear()
                self.held = {}
