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
        is_ready: Whether the processor can step as it is: nothing was taken in since it last did.
        is_touched: Whether somebody began to take something in and did not get to its end.
    """

    lineage: Lineage
    changelog_id: str
    processor: Processor
    at: int
    position: Position | None
    noted: dict[str, str]
    is_ready: bool = False
    is_touched: bool = False

    @classmethod
    def of(cls, rows: PartitionRows) -> "WarmRows | None":
        """Those of a partition that was let go, None unless the log holds everything that is here."""
        if not rows.settled:
            return None
        lineage = rows.lineage
        noted = dict(rows.processor.note())
        position = Position(rows.flushed, lineage.cluster, lineage.topic_id, noted)
        return cls(lineage, rows.changelog_id, rows.processor, rows.changelog_end, position, noted, is_ready=True)

    def fits(self, position: Position | None) -> bool:
        """Whether the processor is the one that rows before this position were written under."""
        return position is None or position.note == self.noted
