"""Reading again what a client of the event stream missed."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.http import positions
from schemas.errors import TwinstreamError
from streams.log.client import KafkaOptions
from streams.log.record import LogRecord, log_record

MOST_OFFSETS = 100_000
_TIMEOUT_S = 20.0
_WAIT_MS = 50
"""All of it is there already."""

Wanted = Callable[[LogRecord], bool]
Ranges = Mapping[tuple[str, int], range]
History = Callable[[Ranges, Wanted], Awaitable[list[LogRecord]]]
"""Reads the committed records of these offsets that are wanted, in about the order in which they were written."""


class MissedTooMuchError(TwinstreamError):
    """What was missed is too much, or is there no more."""


async def no_history(ranges: Ranges, wanted: Wanted) -> list[LogRecord]:  # noqa: ARG001
    """Nothing can be read."""
    message = "what was missed can't be read here"
    raise MissedTooMuchError(message)


class LogHistory:
    """History from Kafka; a consumer of its own for each client that comes back."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options

    async def __call__(self, ranges: Ranges, wanted: Wanted) -> list[LogRecord]:
        """Read.

        Raises:
            MissedTooMuchError: it is too much, the topic keeps it no longer, or Kafka is away.
        """
        if positions.number(ranges.values()) > MOST_OFFSETS:
            message = f"more than {MOST_OFFSETS} records were missed"
            raise MissedTooMuchError(message)
        consumer = AIOKafkaConsumer(
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_max_wait_ms=_WAIT_MS,
            **self._options.client_kwargs(),
        )
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await consumer.start()
                return await read_ranges(consumer, ranges, wanted)
        except (KafkaError, TimeoutError) as error:
            message = f"what was missed can't be read: {str(error) or type(error).__name__}"
            raise MissedTooMuchError(message) from None
        finally:
            await consumer.stop()


async def read_ranges(consumer: AIOKafkaConsumer, ranges: Ranges, wanted: Wanted) -> list[LogRecord]:
    """The records of these offsets that are wanted, in about the order in which they were written.

    Raises:
        MissedTooMuchError: a topic does not keep all of them any more.
        KafkaError: as the client's.
    """
    ends = {TopicPartition(*place): offsets.stop for place, offsets in ranges.items()}
    consumer.assign(list(ends))
    for partition, first in (await consumer.beginning_offsets(list(ends))).items():
        begin = ranges[partition.topic, partition.partition].start
        if 0 < begin < first:
            message = f"{partition.topic} does not keep all of what was missed any more"
            raise MissedTooMuchError(message)
        consumer.seek(partition, max(begin, first))
    found: dict[TopicPartition, list[LogRecord]] = {}
    pending = set(ends)
    while pending:
        for partition, batch in (await consumer.getmany(*pending, timeout_ms=_WAIT_MS)).items():
            records = [log_record(record) for record in batch if record.offset < ends[partition]]
            found.setdefault(partition, []).extend(filter(wanted, records))
        pending = {partition for partition in pending if await consumer.position(partition) < ends[partition]}
    return list(heapq.merge(*found.values(), key=lambda record: record.timestamp_ms))
