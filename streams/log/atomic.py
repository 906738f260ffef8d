"""Writing several records, to partitions of any topics, all or nothing."""

import asyncio
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer

from streams.log.client import KafkaOptions
from streams.log.retry import retrying
from streams.log.starting import started
from streams.log.stopping import let_go

TRANSACTION_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """A record and the partition that it goes to."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class AtomicWriter:
    """A transactional producer. Whoever had the same id before can write no more.

    Args:
        options: How to reach the log.
        transactional_id: Only the latest writer with this id gets anything written.
    """

    def __init__(self, options: KafkaOptions, transactional_id: str) -> None:
        self._options = options
        self._id = transactional_id
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        """Connect and take the id over, waiting for the broker."""

        async def connect() -> AIOKafkaProducer:
            producer = AIOKafkaProducer(
                transactional_id=self._id,
                transaction_timeout_ms=round(TRANSACTION_TIMEOUT_S * 1000),
                **self._options.client_kwargs(),
            )
            return await started(producer)

        self._producer = await retrying(connect, "writing in a transaction")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        if self._producer is not None:
            # What matters is written: a transaction that ended has no more to say.
            await let_go(self._producer, _STOP_TIMEOUT_S)

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """What is sent inside is visible after its end, or never when it ends by an exception.

        Raises:
            ProducerFenced: another writer took the id over.
        """
        found: AbstractAsyncContextManager[Any] = self._connected.transaction()
        return found

    async def send(self, records: Iterable[Addressed]) -> list[int]:
        """Write records inside a transaction; return the offset that each will have."""
        producer = self._connected
        sent = []
        for record in records:
            written = await producer.send(
                record.topic, record.value, record.key, record.partition, headers=list(record.headers)
            )
            # Where a later one fails, nobody asks for this one any more.
            written.add_done_callback(_heard)
            sent.append(written)
        return [metadata.offset for metadata in await asyncio.gather(*sent)]

    async def partitions_of(self, topic: str) -> int:
        """Number of partitions of a topic that is there."""
        return len(await self._connected.partitions_for(topic))

    @property
    def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            message = "use AtomicWriter in `async with`"
            raise RuntimeError(message)
        return self._producer


def _heard(written: "asyncio.Future[Any]") -> None:
    """Know of a failure, so that asyncio does not complain that nobody did."""
    if not written.cancelled():
        written.exception()
