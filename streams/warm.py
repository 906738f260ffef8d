"""Rows in memory as the changelog had them at one of its offsets: kept after letting go, or kept up as a standby."""

from dataclasses import dataclass

from streams.changelog import Position
from streams.partition import PartitionRows
from streams.processor import Lineage, Processor


@dataclass(slots=True, eq=False)
class WarmRows:
    """Rows that the next owner of a partition needs not read from the changelog's beginning.

    Attributes:
        lineage: Where the records that they were made from come from.
        changelog_id: Id of the changelog's topic.
        processor: The rows.
        at: Next offset of the changelog to read.
        position: The last position record before that, None for a partition that never flushed.
        noted: What position records note while the rows are of the version that the processor was made for.
        current_s: When they were last known to hold all that the changelog had, by the clock that goes on while the
            host sleeps.
        is_ready: Whether the processor can step as it is: nothing was taken in since it last did.
        is_touched: Whether somebody began to take something in and did not get to its end.
        is_gone: Whether the rows were thrown away.
    """

    lineage: Lineage
    changelog_id: str
    processor: Processor
    at: int
    position: Position | None
    noted: dict[str, str]
    current_s: float
    is_ready: bool = False
    is_touched: bool = False
    is_gone: bool = False

    @classmethod
    def of(cls, rows: PartitionRows) -> "WarmRows | None":
        """Those of a partition that was let go, None unless the log holds everything that is here."""
        if not rows.settled:
            return None
        lineage = rows.lineage
        noted = dict(rows.processor.note())
        position = Position(rows.flushed, lineage.cluster, lineage.topic_id, noted)
        return cls(
            lineage,
            rows.changelog_id,
            rows.processor,
            rows.changelog_end,
            position,
            noted,
            rows.current_s,
            is_ready=True,
        )

    def fits(self, position: Position | None) -> bool:
        """Whether the processor is the one that rows before this position were written under."""
        return position is None or position.note == self.noted

    def is_outdated(self, now_s: float, limit_s: float) -> bool:
        """Whether the changelog may have forgotten that a row of these was deleted."""
        return now_s - self.current_s > limit_s

    def throw_away(self) -> None:
        """Give the memory back: the rows that take their place may be as many."""
        self.is_touched = self.is_gone = True
        del self.processor
