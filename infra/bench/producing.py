"""Putting the workload into a topic before anything is measured."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer

from infra.bench.workload import Workload
from schemas.clock import SystemClock
from schemas.headers import input_headers
from streams.log.client import KafkaOptions

BATCH_BYTES = 128 * 1024
"""A record batch holds at most this, as the bridges' writer fills them."""

_IN_FLIGHT = 32


async def produce(
    options: KafkaOptions, topic: str, workload: Workload, *, headers: bool, progress: Callable[[int], None]
) -> list[int]:
    """Write a workload as raw record batches, uncompressed.

    Args:
        options: Where Kafka is.
        topic: An empty topic with the workload's number of partitions.
        workload: What to write.
        headers: Whether every record carries the two headers that a bridge adds.
        progress: Called with the number of records so far.

    Returns:
        Number of records in each partition.
    """
    ends = [0] * workload.partitions
    clock = SystemClock()
    async with AIOKafkaProducer(
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES,
        max_request_size=8 * BATCH_BYTES,
        **options.client_kwargs(),
    ) as producer:
        builders: list[Any] = [producer.create_batch() for _ in ends]
        in_flight: set[asyncio.Future[Any]] = set()

        async def send(partition: int) -> None:
            while len(in_flight) >= _IN_FLIGHT:
                done, _ = await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
                in_flight.difference_update(done)
                for future in done:
                    future.result()
            in_flight.add(await producer.send_batch(builders[partition], topic, partition=partition))
            builders[partition] = producer.create_batch()

        type_name = topic.split(".")[1]
        for cycle in workload.cycles():
            for partition, key, value in cycle:
                added: Any = []
                if headers:
                    source = f"mqtt:twins/{type_name}/{key.decode()}/telemetry"
                    added = input_headers(received_ns=clock.now_ns(), source=source)
                if builders[partition].append(key=key, value=value, timestamp=None, headers=added) is None:
                    await send(partition)
                    builders[partition].append(key=key, value=value, timestamp=None, headers=added)
                ends[partition] += 1
            progress(sum(ends))
        for partition, builder in enumerate(builders):
            if builder.record_count():
                await send(partition)
        await asyncio.gather(*in_flight)
    return ends
