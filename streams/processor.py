"""What the engine asks of the code that turns records into state and outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from schemas.trace import Span
from streams.block import Block, Header

OutputRecord = tuple[bytes | None, bytes | None, tuple[Header, ...]]
"""Key, value and headers of one output."""

RESERVED_KEY_PREFIX = b"#"
"""Keys of the changelog that start with it belong to the engine and its processors, never to a row."""


@dataclass(slots=True)
class Outcome:
    """What one block led to.

    Attributes:
        outputs: Records to write in the transaction, by topic; they go to the partition of their input.
        routed: Records to write in the same transaction where their keys belong, by topic.
        urgent: Whether to flush at once, because somebody waits for a command or an event.
        counts: How often something happened, by what and why; they count once the transaction is committed.
        wants: What the processor must be provided with before it can go on, `""` for nothing.
        upto: Where it stopped, if it wants something: offset of the first record that was not stepped.
        spans: What is told of records that belong to traces; they end once the transaction is committed.
    """

    outputs: dict[str, list[OutputRecord]] = field(default_factory=dict)
    routed: dict[str, list[OutputRecord]] = field(default_factory=dict)
    urgent: bool = False
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    wants: str = ""
    upto: int = 0
    spans: list[Span] = field(default_factory=list)

    def add(self, topic: str, key: bytes | None, value: bytes | None, headers: tuple[Header, ...] = ()) -> None:
        """Append one output record."""
        self.outputs.setdefault(topic, []).append((key, value, headers))

    def route(self, topic: str, key: bytes, value: bytes, headers: tuple[Header, ...]) -> None:
        """Append one record for the partition of its key in a topic of any number of partitions."""
        self.routed.setdefault(topic, []).append((key, value, headers))

    def count(self, what: str, reason: str = "", times: int = 1) -> None:
        """Count something that happened."""
        if times:
            self.counts[what, reason] = self.counts.get((what, reason), 0) + times


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a partition's records come from; ids of outputs are made of it.

    Attributes:
        cluster: Id of the Kafka cluster.
        topic_id: Id of the input topic, another when the topic is made anew.
        partition: Partition of the input topic.
    """

    cluster: str
    topic_id: str
    partition: int


class NotNowError(Exception):
    """Out of `prepare` or `process`: what is needed outside is not there. No record is to blame: it is tried later."""


class HeldRecordsError(Exception):
    """Out of `process`: it failed, as the cause says, at records that it had held back, or held back a moment.

    Attributes:
        offsets: Of those records, one of which is to blame.
    """

    def __init__(self, offsets: tuple[int, ...]) -> None:
        super().__init__(f"records {offsets[:10]} that were held back")
        self.offsets = offsets


class Processor(Protocol):
    """The rows of one partition and the steps over them.

    The engine calls it from one thread, one call at a time. An exception out of any method makes the engine throw the
    processor away and rebuild it from the changelog.
    """

    @property
    def tick_s(self) -> float:
        """Period of the ticks that it wants in its partition, seconds; 0 for none. Asked from any thread."""

    @property
    def may_wait(self) -> bool:
        """Whether `process` may wait for something outside, by `streams.rows_thread.others_go_on`."""

    @property
    def size_bytes(self) -> int:
        """Memory that the rows take, about. Asked from any thread."""

    def restore(self, rows: Block) -> None:
        """Take in changelog records with keys, oldest first, a value None deleting a key.

        Called before any block, and again for what another owner wrote after rows of ours that were kept.
        """

    def restored(self) -> Outcome:
        """End of the changelog: called after the last `restore`, before a block.

        Returns:
            What has to be told of rows that were not restored as they were written, flushed before anything else.
        """

    def prepare(self) -> None:
        """Wait until what `process` needs outside is there; called before it, changes nothing.

        Raises:
            NotNowError: it is not there; rows are what they were.
        """

    def process(self, block: Block) -> Outcome:
        """Step the records of a block in order. Results must not depend on how records were cut into blocks.

        A processor may stop before a record that it can't step yet, and say in the outcome what it wants.
        """

    def refuse(self, record: Block, detail: str) -> Outcome:
        """Make a dead letter of a block of one record that can't be stepped."""

    def suspect(self, held: Mapping[int, str]) -> None:
        """Of records that it holds back, step these each by itself from now on, or not at all; all others together.

        Told before the first block, and whenever there are others.

        Args:
            held: Never changes. Why each is to become a dead letter instead, `""` where it is to be stepped; by offset.
        """

    def insists(self, record: Block) -> bool:
        """Whether a block of one record must be stepped, however often that fails; asked from any thread."""

    def snapshot(self) -> list[tuple[bytes, bytes | None]]:
        """Rows changed since the last snapshot, key and value; None deletes. Clears the marks."""

    def note(self) -> Mapping[str, str]:
        """What goes into the position record beside the offset: fingerprints of layout and definition."""


class ProcessorFactory(Protocol):
    """Makes the processors of partitions, and what they need. Both methods may wait as long as it takes."""

    async def make(self, lineage: Lineage, note: Mapping[str, str]) -> Processor:
        """A processor without rows; called at every assignment and after every failure.

        Args:
            lineage: Of the partition.
            note: What an earlier processor of it noted with the last position; empty for a new partition.
        """

    async def provide(self, wanted: str) -> None:
        """Make ready what a processor wants."""


class Observer(Protocol):
    """Where the engine reports what it does; metrics are made of it elsewhere."""

    def owned(self, partitions: frozenset[int]) -> None:
        """An assignment is complete: the partitions that this worker steps from now on, none for a stand-by."""

    def given_up(self) -> None:
        """Nothing is stepped until the next assignment."""

    def restoring(self, partition: int, done: int, total: int) -> None:
        """So many offsets of the changelog, of those that there are to read, were read for a partition."""

    def restored(self, partition: int, rows: int, seconds: float, *, warm: bool) -> None:
        """A partition was restored: all rows were read, or those alone that warm ones lacked."""

    def warm(self, partitions: Mapping[int, int | None], size_bytes: int) -> None:
        """What is kept warm here: offsets behind the changelog by partition, None before it caught up; and its memory.

        Told every second at most while there is any, and when there is none any more.
        """

    def stepping(self, partition: int, offset: int, end: int) -> None:
        """Records from `offset` to before `end` are about to be stepped; called from the rows thread."""

    def stepped(self, partition: int) -> None:
        """What `stepping` told of is over, well or not; called from the rows thread."""

    def processed(self, partition: int, records: int, seconds: float) -> None:
        """A block was stepped."""

    def flushed(self, partition: int, rows: int, outputs: int, seconds: float) -> None:
        """A transaction was committed."""

    def counted(self, counts: Mapping[tuple[str, str], int]) -> None:
        """What the records of a committed transaction led to, by what and why."""

    def position(self, partition: int, next_offset: int, lag: int) -> None:
        """The committed position moved."""

    def failed(self, partition: int, kind: str) -> None:
        """A flush, a block or a restore failed; the partition is rebuilt."""

    def lost(self, partition: int, records: int) -> None:
        """Retention deleted records before they were processed."""

    def waiting(self, partition: int, wanted: str) -> None:
        """A partition waits for what its processor wants; `""`: no longer."""

    def standing(self, partition: int, why: str) -> None:
        """A partition can't go on and tries again, told at every failure; `""`: it goes on."""


class SilentObserver:
    """An observer that nobody listens to."""

    def owned(self, partitions: frozenset[int]) -> None:
        """Ignore."""

    def given_up(self) -> None:
        """Ignore."""

    def stepping(self, partition: int, offset: int, end: int) -> None:
        """Ignore."""

    def restoring(self, partition: int, done: int, total: int) -> None:
        """Ignore."""

    def restored(self, partition: int, rows: int, seconds: float, *, warm: bool) -> None:
        """Ignore."""

    def warm(self, partitions: Mapping[int, int | None], size_bytes: int) -> None:
        """Ignore."""

    def stepped(self, partition: int) -> None:
        """Ignore."""

    def processed(self, partition: int, records: int, seconds: float) -> None:
        """Ignore."""

    def flushed(self, partition: int, rows: int, outputs: int, seconds: float) -> None:
        """Ignore."""

    def counted(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Ignore."""

    def position(self, partition: int, next_offset: int, lag: int) -> None:
        """Ignore."""

    def failed(self, partition: int, kind: str) -> None:
        """Ignore."""

    def lost(self, partition: int, records: int) -> None:
        """Ignore."""

    def waiting(self, partition: int, wanted: str) -> None:
        """Ignore."""

    def standing(self, partition: int, why: str) -> None:
        """Ignore."""
