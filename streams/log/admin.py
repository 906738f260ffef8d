"""Topics of the log: making them, and asking about them."""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from schemas.errors import SetupError
from schemas.topics import ACCOUNT, AUDIT, DEADLETTER, DEFINITIONS, LOGS, TOKENS, topic_config
from streams.log.client import KafkaOptions
from streams.log.metadata import TopicIdRequest, topic_ids
from streams.log.retry import retrying

SHARED_TOPICS = (DEFINITIONS, DEADLETTER, LOGS, ACCOUNT, TOKENS, AUDIT)
_CREATION_TIMEOUT_S = 30.0


class LogAdmin:
    """Administration of one cluster; waits for a broker that is away."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._client: AIOKafkaAdminClient | None = None

    async def __aenter__(self) -> Self:
        """Connect, waiting for the broker."""

        async def connect() -> AIOKafkaAdminClient:
            client = AIOKafkaAdminClient(**self._options.client_kwargs())
            try:
                await client.start()
            except BaseException:
                await client.close()
                raise
            return client

        self._client = await retrying(connect, "administration")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._client.close()

    @property
    def _admin(self) -> AIOKafkaAdminClient:
        if self._client is None:
            message = "use LogAdmin in `async with`"
            raise RuntimeError(message)
        return self._client

    async def cluster_id(self) -> str:
        """Id of the cluster."""
        return str((await self._admin.describe_cluster())["cluster_id"])

    async def topics(self) -> set[str]:
        """Names of all topics."""
        return set(await self._admin.list_topics())

    async def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """Ids of those of `topics` that exist; a topic that is made anew gets another."""
        node = self._admin._client.get_random_node()  # noqa: SLF001 - no public way to send an own request
        return topic_ids(await self._admin._send_request_to_node(node, TopicIdRequest(list(topics))))  # noqa: SLF001

    async def partitions_of(self, topic: str) -> int | None:
        """Number of partitions of `topic`, None when it does not exist."""
        described = await self._admin.describe_topics([topic])
        code = described[0]["error_code"]
        if code == UnknownTopicOrPartitionError.errno:
            return None
        if code:
            raise for_code(code)(topic)
        return len(described[0]["partitions"])

    async def ensure_topics(
        self, topics: Iterable[str], partitions: int = 8, replication: int = 1, retention_ms: int | None = None
    ) -> None:
        """Make the topics that are missing.

        Args:
            topics: Their names; `schemas.topics.topic_config` says how each is kept.
            partitions: Wanted for each.
            replication: Replicas of each partition.
            retention_ms: Replaces "unlimited" for topics that are not compacted.

        Raises:
            SetupError: a topic exists with another number of partitions.
        """
        for topic in topics:
            existing = await self.partitions_of(topic)
            if existing is None:
                config = topic_config(topic)
                if retention_ms is not None and config.get("retention.ms") == "-1":
                    config["retention.ms"] = str(retention_ms)
                await self._create(NewTopic(topic, partitions, replication, topic_configs=config))
                existing = await self._created(topic)
            if existing != partitions:
                message = (
                    f"topic {topic} has {existing} partitions, the configuration says {partitions}: set"
                    f" kafka.partitions to {existing}, or delete the topic (its data is lost) and start again"
                )
                raise SetupError(message)

    async def delete_topics(self, topics: Iterable[str]) -> None:
        """Delete those of `topics` that exist, with all they hold."""
        existing = await self.topics()
        if wanted := [topic for topic in topics if topic in existing]:
            await self._admin.delete_topics(wanted)

    async def _create(self, topic: NewTopic) -> None:
        response = await self._admin.create_topics([topic])
        _, code, text = response.topic_errors[0]
        if code not in {0, TopicAlreadyExistsError.errno}:
            raise for_code(code)(f"{topic.name}: {text}")

    async def _created(self, topic: str) -> int:
        """Wait until the new topic's metadata has spread."""
        async with asyncio.timeout(_CREATION_TIMEOUT_S):
            while not (partitions := await self.partitions_of(topic)):  # noqa: ASYNC110 - Kafka has no event for it
                await asyncio.sleep(0.05)
        return partitions

    async def end_offsets(self, topics: Iterable[str], *, stable: bool = False) -> dict[tuple[str, int], int]:
        """Next offset of every partition of those of `topics` that exist.

        Args:
            topics: By name.
            stable: As far as readers of committed records come: before the first transaction that is open.
        """
        counts = {topic: await self.partitions_of(topic) for topic in topics}
        partitions = [TopicPartition(topic, p) for topic, count in counts.items() for p in range(count or 0)]
        if not partitions:
            return {}
        isolation = "read_committed" if stable else "read_uncommitted"
        consumer = AIOKafkaConsumer(isolation_level=isolation, **self._options.client_kwargs())
        try:
            await consumer.start()
            ends = await consumer.end_offsets(partitions)
        finally:
            await consumer.stop()
        return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}

    async def committed(self, group: str, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """Next offset that `group` committed, for partitions where it did."""
        wanted = set(topics)
        offsets = await retrying(lambda: self._admin.list_consumer_group_offsets(group), f"offsets of {group}")
        return {
            (tp.topic, tp.partition): entry.offset
            for tp, entry in offsets.items()
            if tp.topic in wanted and entry.offset >= 0
        }
