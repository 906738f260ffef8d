"""Dead letters of sinks: what a store will never take."""

import asyncio
from collections.abc import Iterable, Mapping

from connectors.stores import LogPosition, Refusal
from schemas.clock import Clock
from schemas.messages import DeadLetter, dead_letter, encode
from schemas.reasons import Reason
from schemas.topics import DEADLETTER, type_of_topic
from streams.log.record import LogRecord
from streams.log.retry import retrying
from streams.log.writer import LogWriter


def letter_of(refusal: Refusal, records: Mapping[LogPosition, LogRecord], now_ns: int) -> DeadLetter:
    """The dead letter of a refusal; `records` are those of the batch by position."""
    record = records[refusal.position]
    topic, partition, offset = refusal.position
    twin = record.key.decode(errors="replace") if record.key and topic.endswith((".metadata", ".commands")) else ""
    return dead_letter(
        reason=Reason.SINK_REFUSED,
        detail=refusal.detail,
        source=f"kafka:{topic}/{partition}/{offset}",
        type_name=type_of_topic(topic),
        twin=twin,
        received_ns=now_ns,
        raw=refusal.raw or record.value or b"",
    )


def by_position(records: Iterable[LogRecord]) -> dict[LogPosition, LogRecord]:
    """Records by their place in the log."""
    return {LogPosition(record.topic, record.partition, record.offset): record for record in records}


async def write_letters(
    writer: LogWriter, refusals: Iterable[Refusal], records: Mapping[LogPosition, LogRecord], clock: Clock
) -> list[DeadLetter]:
    """Make a durable dead letter of each refusal."""
    letters = [letter_of(refusal, records, clock.now_ns()) for refusal in refusals]

    async def send(letter: DeadLetter) -> asyncio.Future[tuple[int, int]]:
        key = letter.twin.encode() or None
        return await retrying(lambda: writer.send(DEADLETTER, key, encode(letter)), "dead letters")

    for durable in [await send(letter) for letter in letters]:
        await durable
    return letters
