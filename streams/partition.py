"""One owned partition: its position, its unflushed outcome, and the rules when to flush.

Everything here that touches rows runs in the engine's one worker thread, so rows, outputs and position move together;
a snapshot taken while a block is being stepped is impossible by construction.
"""

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from streams.block import Block
from streams.changelog import POSITION_KEY, Position
from streams.processor import Outcome, OutputRecord, Processor
from streams.transaction import PartitionTransactions


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When to flush.

    Attributes:
        interval_s: At the latest this long after the first unflushed record.
        records: At the latest after this many records.
        urgent_interval_s: Shortest time between two flushes that commands or events ask for.
        behind_interval_s: Replaces both while the partition is behind its input: what then leaves later has waited far
            longer before it was read, and every flush writes each changed row once.
    """

    interval_s: float = 0.1
    records: int = 50_000
    urgent_interval_s: float = 0.02
    behind_interval_s: float = 0.5


@dataclass(slots=True)
class Snapshot:
    """What one transaction writes."""

    position: int
    rows: list[OutputRecord]
    outputs: dict[str, list[OutputRecord]]
    counts: Counter[tuple[str, str]]

    def output_count(self) -> int:
        """Number of output records."""
        return sum(map(len, self.outputs.values()))


@dataclass(slots=True)
class OwnedPartition:
    """A partition between assignment and revocation.

    Attributes:
        number: Partition of the input topic.
        processor: Its rows and steps.
        transactions: Its producer.
        position: Next offset to process.
        flushed: Next offset according to the last committed transaction.
        changelog_end: Next offset of the changelog after the last committed transaction.
        broken: Rows and log may differ; nothing is processed or flushed until the partition is rebuilt.
        behind: More input waits than was read.
        closed: Given up; what a worker thread still computes for it is thrown away.
    """

    number: int
    processor: Processor
    transactions: PartitionTransactions
    position: int
    flushed: int
    changelog_end: int
    broken: bool = False
    closed: bool = False
    behind: bool = False
    urgent: bool = False
    waiting_since_s: float | None = None
    last_flush_s: float = float("-inf")
    _outputs: dict[str, list[OutputRecord]] = field(default_factory=dict)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def pending(self) -> bool:
        """Whether a flush would write more than the position that the log has."""
        return self.unflushed > 0 or bool(self._outputs)

    @property
    def unflushed(self) -> int:
        """Offsets processed since the last snapshot was committed."""
        return self.position - self.flushed

    def process(self, block: Block, now_s: float) -> int:
        """Step a block that starts at or below the position; return how many records were new."""
        block = block.since(self.position)
        if len(block):
            self._take(self.processor.process(block))
        self.position = max(self.position, block.end)
        if self.waiting_since_s is None:
            self.waiting_since_s = now_s
        return len(block)

    def begin(self, outcome: Outcome, now_s: float) -> None:
        """Take what the processor made of its restored rows; it is flushed even if no record ever comes."""
        self._take(outcome)
        if outcome.outputs:
            self.waiting_since_s = now_s

    def _take(self, outcome: Outcome) -> None:
        for topic, records in outcome.outputs.items():
            self._outputs.setdefault(topic, []).extend(records)
        self._counts.update(outcome.counts)
        self.urgent |= outcome.urgent

    def snapshot(self, now_s: float) -> Snapshot:
        """Take what the next transaction writes, and clear it here."""
        outputs, self._outputs = self._outputs, {}
        counts, self._counts = self._counts, Counter()
        rows: list[OutputRecord] = [(key, value, ()) for key, value in self.processor.snapshot()]
        position = Position(self.position, dict(self.processor.note()))
        rows.append((POSITION_KEY, msgspec.json.encode(position), ()))
        self.urgent = False
        self.waiting_since_s = None
        self.last_flush_s = now_s
        return Snapshot(self.position, rows, outputs, counts)

    def flush_due(self, policy: FlushPolicy, now_s: float) -> bool:
        """Whether to flush now."""
        if self.broken or self.closed or self.waiting_since_s is None:
            return False
        if self.unflushed >= policy.records:
            return True
        if self.behind:
            return now_s - self.waiting_since_s >= policy.behind_interval_s
        if self.urgent and now_s - self.last_flush_s >= policy.urgent_interval_s:
            return True
        return now_s - self.waiting_since_s >= policy.interval_s
