"""Rows, unflushed outcome and position of one partition, and the rules when to flush.

Everything here that touches rows runs in the engine's one worker thread, so rows, outputs and position move together;
a snapshot taken while a block is being stepped is impossible by construction.
"""

from collections import Counter
from dataclasses import dataclass, field

import msgspec
import numpy as np

from schemas.trace import Span
from streams.block import Block
from streams.changelog import POSITION_KEY, Position
from streams.processor import Lineage, Outcome, OutputRecord, Processor


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When to flush.

    Attributes:
        interval_s: So often all partitions of a worker that have something to write are flushed, in one go: that takes
            less of everybody's time than each in its own rhythm.
        records: At the latest after this many records.
        urgent_interval_s: Shortest time between two flushes that commands or events ask for; so often it is also looked
            what is due between rounds.
        group_interval_s: So often at most the consumer group is told where a partition stands, which others read: lag
            tools, and whoever lifts a ban once a version is passed. The truth is in the changelog.
        behind_interval_s: Replaces both while the partition is behind its input: what then leaves later has waited far
            longer before it was read, and every flush writes each changed row once.
        behind_records: So much input must wait for a partition to be behind. Some always waits under a steady load.
    """

    interval_s: float = 0.15
    records: int = 50_000
    urgent_interval_s: float = 0.1
    group_interval_s: float = 0.5
    behind_interval_s: float = 0.5
    behind_records: int = 2000


@dataclass(slots=True)
class Snapshot:
    """What one transaction writes."""

    position: int
    rows: list[OutputRecord]
    outputs: dict[str, list[OutputRecord]]
    counts: Counter[tuple[str, str]]
    routed: dict[str, list[OutputRecord]] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)

    def output_count(self) -> int:
        """Number of output records."""
        return sum(map(len, [*self.outputs.values(), *self.routed.values()]))


@dataclass(slots=True)
class PartitionRows:
    """What a partition is made of between restore and release.

    Attributes:
        lineage: Where its records come from.
        processor: Its rows and steps.
        position: Next offset to process.
        flushed: Next offset according to the last committed transaction.
        told: Next offset that the consumer group was told from here, 0 for none yet: every owner tells it anew.
        told_s: When it was told.
        changelog_end: Next offset of the changelog after the last committed transaction.
        changelog_id: Id of the changelog's topic.
        current_s: When nobody else can have written to the changelog what is not here, by the clock that goes on while
            the host sleeps: the last transaction, or the restore.
        broken: Rows and log may differ: nothing more is stepped or flushed, the partition is rebuilt.
        behind: Much input waits.
        urgent: Somebody waits for what is unflushed.
    """

    lineage: Lineage
    processor: Processor
    position: int
    flushed: int
    changelog_end: int
    changelog_id: str = ""
    current_s: float = 0.0
    broken: bool = False
    behind: bool = False
    urgent: bool = False
    waiting_since_s: float | None = None
    last_flush_s: float = float("-inf")
    told: int = 0
    told_s: float = float("-inf")
    _outputs: dict[str, list[OutputRecord]] = field(default_factory=dict)
    _routed: dict[str, list[OutputRecord]] = field(default_factory=dict)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _spans: list[Span] = field(default_factory=list)

    @property
    def number(self) -> int:
        """Partition of the input topic."""
        return self.lineage.partition

    @property
    def unflushed(self) -> int:
        """Offsets processed since the last snapshot was committed."""
        return self.position - self.flushed

    @property
    def settled(self) -> bool:
        """Whether the log holds everything that is here."""
        return not self.broken and self.unflushed == 0 and self.waiting_since_s is None

    def process(self, block: Block, now_s: float) -> tuple[int, str]:
        """Step a block that starts at or below the position.

        Returns:
            How many records were new, and what the processor wants before it can go on, `""` at the end of the block.
        """
        block = block.since(self.position)
        if len(block):
            self._demand_whole()
            try:
                outcome = self.processor.process(block)
            except BaseException:
                self.broken = True
                raise
            self.take(outcome, now_s)
            if outcome.wants:
                self._move(outcome.upto, now_s)
                return int(np.searchsorted(block.offsets, outcome.upto)), outcome.wants
        self._move(block.end, now_s)
        return len(block), ""

    def give_up(self, record: Block, detail: str, now_s: float) -> int:
        """Pass over a record that can't be stepped, leaving a dead letter; return 1, or 0 when it was passed before."""
        record = record.since(self.position)
        if len(record):
            self._demand_whole()
            self.take(self.processor.refuse(record, detail), now_s)
        self._move(record.end, now_s)
        return len(record)

    def pass_over(self, end: int, now_s: float) -> None:
        """Go on at `end`: what lies before it is gone."""
        self._move(end, now_s)

    def take(self, outcome: Outcome, now_s: float) -> None:
        """Add an outcome to what the next transaction writes."""
        for kept, added in ((self._outputs, outcome.outputs), (self._routed, outcome.routed)):
            for topic, records in added.items():
                kept.setdefault(topic, []).extend(records)
        self._counts.update(outcome.counts)
        self._spans += outcome.spans
        self.urgent |= outcome.urgent
        if (outcome.outputs or outcome.routed) and self.waiting_since_s is None:
            self.waiting_since_s = now_s

    def snapshot(self, now_s: float) -> Snapshot:
        """Take what the next transaction writes, and clear it here."""
        self._demand_whole()
        outputs, self._outputs = self._outputs, {}
        routed, self._routed = self._routed, {}
        counts, self._counts = self._counts, Counter()
        spans, self._spans = self._spans, []
        rows: list[OutputRecord] = [(key, value, ()) for key, value in self.processor.snapshot()]
        position = Position(self.position, self.lineage.cluster, self.lineage.topic_id, dict(self.processor.note()))
        rows.append((POSITION_KEY, msgspec.json.encode(position), ()))
        self.urgent = False
        self.waiting_since_s = None
        self.last_flush_s = now_s
        return Snapshot(self.position, rows, outputs, counts, routed, spans)

    @property
    def is_untold(self) -> bool:
        """Whether the consumer group does not know of everything that is committed."""
        return self.told < self.flushed

    def telling_due(self, policy: FlushPolicy, now_s: float) -> bool:
        """Whether a flush now tells the consumer group too."""
        return now_s - self.told_s >= policy.group_interval_s

    def flush_due(self, policy: FlushPolicy, now_s: float, round_s: float = float("-inf")) -> bool:
        """Whether to flush now; what has waited since before `round_s`, when the latest round began, is due."""
        if self.broken:
            return False
        if self.waiting_since_s is None:
            return self.is_untold and self.telling_due(policy, now_s)
        if self.unflushed >= policy.records:
            return True
        if self.behind:
            return now_s - self.waiting_since_s >= policy.behind_interval_s
        if self.urgent and now_s - self.last_flush_s >= policy.urgent_interval_s:
            return True
        return self.waiting_since_s <= round_s

    def _move(self, end: int, now_s: float) -> None:
        if end > self.position:
            self.position = end
            if self.waiting_since_s is None:
                self.waiting_since_s = now_s

    def _demand_whole(self) -> None:
        if self.broken:
            message = f"partition {self.number} is broken: it must be rebuilt before anything else"
            raise RuntimeError(message)
