"""Events of a twin from before a page was opened, read from where they are kept: their topic."""

import asyncio
from collections import deque
from typing import Protocol

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.http.services import LogUnavailableError
from infra.http.stream_history import MissedTooMuchError, read_ranges
from schemas.messages import Event
from schemas.partitioning import partition_of
from schemas.topics import TypeTopics
from streams.log.client import KafkaOptions
from streams.log.record import LogRecord

MOST_RECORDS = 50_000
"""So far back events are looked for, in records of the twin's partition, which it shares with other twins."""
MOST_EVENTS = 200
"""As many as the curves mark."""
_AT_ONCE = 5_000
_TIMEOUT_S = 5.0
_WAIT_MS = 50
"""All of it is there already."""
_READERS = 4
"""So many look at once; a fleet of pages that are opened together waits."""
_OF_COMMANDS = "command_"


class PastEvents(Protocol):
    """Reads events of one twin."""

    async def __call__(self, type_name: str, twin: str, since_ns: int | None) -> list[Event]:
        """The latest events of a twin, oldest first, without those that tell what became of a command.

        Args:
            type_name: Of the twin.
            twin: Whose.
            since_ns: Earliest event time, UTC nanoseconds; None: as far back as they are looked for.

        Raises:
            LogUnavailableError: they can't be read now.
        """


def is_shown(event: Event) -> bool:
    """Whether pages show it among the events: what became of a command stands with the command."""
    return not event.name.startswith(_OF_COMMANDS)


class LogPastEvents:
    """Past events from Kafka; a consumer of its own for each look."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._turn = asyncio.Semaphore(_READERS)

    async def __call__(self, type_name: str, twin: str, since_ns: int | None) -> list[Event]:
        """As `PastEvents` says.

        Raises:
            LogUnavailableError: Kafka does not answer in time.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._turn:
                consumer = AIOKafkaConsumer(
                    enable_auto_commit=False,
                    isolation_level="read_committed",
                    fetch_max_wait_ms=_WAIT_MS,
                    **self._options.client_kwargs(),
                )
                try:
                    await consumer.start()
                    return await _latest(consumer, TypeTopics(type_name).events, twin, since_ns)
                finally:
                    await consumer.stop()
        except (KafkaError, MissedTooMuchError, TimeoutError) as error:
            raise LogUnavailableError(str(error) or "no answer in time", in_doubt=False) from None


async def _latest(consumer: AIOKafkaConsumer, topic: str, twin: str, since_ns: int | None) -> list[Event]:
    cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - no public way, see `streams.log.follow`
    partitions = cluster.partitions_for_topic(topic)
    if not partitions:
        return []
    key = twin.encode()
    number = partition_of(key, len(partitions))
    place = TopicPartition(topic, number)
    begin = (await consumer.beginning_offsets([place]))[place]
    stop = (await consumer.end_offsets([place]))[place]
    begin = max(begin, stop - MOST_RECORDS)
    found: deque[Event] = deque()

    def is_ours(record: LogRecord) -> bool:
        return record.key == key and record.value is not None

    while stop > begin and len(found) < MOST_EVENTS:
        start = max(begin, stop - _AT_ONCE)
        records = await read_ranges(consumer, {(topic, number): range(start, stop)}, is_ours)
        events = [event for record in records if (event := _read(record)) is not None and is_shown(event)]
        due = [event for event in events if since_ns is None or event.event_time_ns >= since_ns]
        found.extendleft(reversed(due))
        if events and not due:
            break  # what was written before these is older, but for a few that came out of order
        stop = start
    return list(found)[-MOST_EVENTS:]


def _read(record: LogRecord) -> Event | None:
    """The event; None for what no role of ours wrote, of which the feed tells."""
    try:
        return msgspec.json.decode(record.value or b"", type=Event)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
