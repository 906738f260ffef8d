"""Settings of one engine."""

from dataclasses import dataclass, field
from pathlib import Path

from schemas.topics import STATE_TOMBSTONES_S
from streams.log.client import KafkaOptions
from streams.partition import FlushPolicy


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Settings of one engine.

    Attributes:
        group: Consumer group, also the prefix of transactional ids.
        source: Input topic.
        changelog: Compacted topic with the rows; the same number of partitions as `source`.
        cluster: Id of the Kafka cluster.
        session_timeout_s: After this long without a heartbeat the group gives our partitions to others.
        transaction_timeout_s: After this long a broker aborts a transaction that a frozen owner left open, once it
            looks: every 10 s unless it is told otherwise, so that readers are held back for less than 15 s. One that
            failed for whatever reason gets twice the time when it is tried again.
        standby_replicas: How many workers besides its owner keep the rows of each partition warm.
        tombstones_s: So long the changelog keeps at least that a row was deleted.
        fetch_bytes: Bound of one partition's share of a fetch, and so of a block.
        fetch_wait_s: How long the broker waits for records before it answers a fetch.
        partitions: Of the source, for Faust's own book-keeping, and of topics of others that are made to write into.
        replication: Replicas of such topics.
        retention_ms: Of such topics; None for what `schemas.topics` says.
    """

    kafka: KafkaOptions
    group: str
    source: str
    changelog: str
    cluster: str
    data_dir: Path
    partitions: int = 8
    replication: int = 1
    retention_ms: int | None = None
    session_timeout_s: float = 6.0
    transaction_timeout_s: float = 4.0
    standby_replicas: int = 1
    tombstones_s: float = STATE_TOMBSTONES_S
    fetch_bytes: int = 1 << 20
    fetch_wait_s: float = 0.1
    flush: FlushPolicy = field(default_factory=FlushPolicy)

    @property
    def rows_age_s(self) -> float:
        """Rows that were not known to be current for longer are read anew: half, so that there is time to read on."""
        return self.tombstones_s / 2
