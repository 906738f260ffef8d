"""Putting the workload into a topic before anything is measured, or all at once while it is."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer

from infra.bench.workload import Workload
from schemas.clock import SystemClock
from schemas.headers import input_headers
from streams.log.client import KafkaOptions

BATCH_BYTES = 128 * 1024
"""A record batch holds at most this, as the bridges' writer fills them."""

_IN_FLIGHT = 32


class Loader:
    """Writes a workload as raw record batches, uncompressed; enter it first.

    Args:
        options: Where Kafka is.
        topic: A topic with the workload's number of partitions.
        workload: What to write.
        headers: Whether every record carries the two headers that a bridge adds.
    """

    def __init__(self, options: KafkaOptions, topic: str, workload: Workload, *, headers: bool = False) -> None:
        self._topic, self._workload, self._headers = topic, workload, headers
        self._producer = AIOKafkaProducer(
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            max_request_size=8 * BATCH_BYTES,
            **options.client_kwargs(),
        )
        self._in_flight: set[asyncio.Future[Any]] = set()
        self._prepared: list[tuple[int, Any]] = []

    async def __aenter__(self) -> Self:
        """Connect."""
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        await self._producer.stop()

    async def write(self, progress: Callable[[int], None]) -> list[int]:
        """Make the records and write them; returns the number in each partition.

        Args:
            progress: Called with the number of records so far.
        """
        counts = await self._make(self._send, progress)
        await self._settled()
        return counts

    async def prepare(self, progress: Callable[[int], None]) -> list[int]:
        """Make the records and keep them in memory; returns the number in each partition."""

        async def keep(partition: int, batch: Any) -> None:  # noqa: ANN401 - aiokafka has no types
            self._prepared.append((partition, batch))

        return await self._make(keep, progress)

    async def send(self) -> None:
        """Write what was prepared."""
        for partition, batch in self._prepared:
            await self._send(partition, batch)
        self._prepared.clear()
        await self._settled()

    async def _make(self, done: Callable[[int, Any], Any], progress: Callable[[int], None]) -> list[int]:
        counts = [0] * self._workload.partitions
        builders: list[Any] = [self._producer.create_batch() for _ in counts]
        clock = SystemClock()
        type_name = self._topic.split(".")[1]
        for cycle in self._workload.cycles():
            for partition, key, value in cycle:
                added: Any = []
                if self._headers:
                    source = f"mqtt:twins/{type_name}/{key.decode()}/telemetry"
                    added = input_headers(received_ns=clock.now_ns(), source=source)
                if builders[partition].append(key=key, value=value, timestamp=None, headers=added) is None:
                    await done(partition, builders[partition])
                    builders[partition] = self._producer.create_batch()
                    builders[partition].append(key=key, value=value, timestamp=None, headers=added)
                counts[partition] += 1
            progress(sum(counts))
        for partition, builder in enumerate(builders):
            if builder.record_count():
                await done(partition, builder)
        return counts

    async def _send(self, partition: int, batch: Any) -> None:  # noqa: ANN401 - aiokafka has no types
        while len(self._in_flight) >= _IN_FLIGHT:
            done, _ = await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
            self._in_flight.difference_update(done)
            for future in done:
                future.result()
        self._in_flight.add(await self._producer.send_batch(batch, self._topic, partition=partition))

    async def _settled(self) -> None:
        await asyncio.gather(*self._in_flight)
        self._in_flight.clear()


async def produce(
    options: KafkaOptions, topic: str, workload: Workload, *, headers: bool, progress: Callable[[int], None]
) -> list[int]:
    """Write a workload as raw record batches; returns the number of records in each partition."""
    async with Loader(options, topic, workload, headers=headers) as loader:
        return await loader.write(progress)
