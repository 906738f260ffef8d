"""A recording on its way into the input of a type: as fast as Kafka takes it, or at a multiple of its own speed."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from infra.recordings.reading import Record
from schemas.clock import Clock
from schemas.headers import Headers, input_headers
from schemas.topics import TypeTopics
from streams.log.writer import LogWriter

_AT_ONCE = 1_000
_FAULTS_KEPT = 20
_TOLD_EVERY_S = 0.25


@dataclass(slots=True)
class Progress:
    """How far it is.

    Attributes:
        sent: Records that are in the input topic.
        left_out: Rows that are no records.
        faults: Why, of the first of them.
        time_ns: Event time of the record that was sent last.
    """

    sent: int = 0
    left_out: int = 0
    faults: list[str] = field(default_factory=list)
    time_ns: int | None = None


async def send_recording(
    records: Iterable[Record],
    writer: LogWriter,
    *,
    type_name: str,
    twin: str,
    clock: Clock,
    speed: float | None = None,
    told: Callable[[Progress], None] | None = None,
) -> Progress:
    """Send records in their order; whoever cancels it knows from `told` how far it came.

    Args:
        records: In the order of their times.
        writer: Connected.
        type_name: Qualified name of a deployed type.
        twin: Id of the twin, which need not be there yet.
        clock: For arrivals and for the speed.
        speed: Seconds of the recording in one second; None for as fast as Kafka takes them.
        told: Hears how far it is, some times a second.

    Raises:
        KafkaError: a record could not be written; those that `told` spoke of are.
    """
    progress = Progress()
    topic, key = TypeTopics(type_name).telemetry, twin.encode()
    batch: list[tuple[str, bytes | None, bytes | None, Headers]] = []
    told_s = clock.monotonic_s()
    pace = _Pace(clock, speed)

    async def flush() -> None:
        nonlocal told_s
        if batch:
            await asyncio.gather(*await writer.send_many(batch))
            progress.sent += len(batch)
            batch.clear()
        if told is not None and clock.monotonic_s() - told_s >= _TOLD_EVERY_S:
            told_s = clock.monotonic_s()
            told(progress)
        await asyncio.sleep(0)

    for record in records:
        if record.fault:
            progress.left_out += 1
            if len(progress.faults) < _FAULTS_KEPT:
                progress.faults.append(record.fault)
            continue
        while (left_s := pace.left_s(record.time_ns)) > 0:
            await flush()
            await asyncio.sleep(min(left_s, _TOLD_EVERY_S))
        headers = input_headers(received_ns=clock.now_ns(), source="recording:import")
        batch.append((topic, key, record.payload, headers))
        progress.time_ns = record.time_ns if record.time_ns is not None else progress.time_ns
        if len(batch) >= _AT_ONCE:
            await flush()
    await flush()
    if told is not None:
        told(progress)
    return progress


class _Pace:
    """How long the next record has still to wait."""

    def __init__(self, clock: Clock, speed: float | None) -> None:
        self._clock = clock
        self._speed = speed
        self._started_s = clock.monotonic_s()
        self._first_ns: int | None = None

    def left_s(self, time_ns: int | None) -> float:
        if self._speed is None or time_ns is None:
            return 0.0
        if self._first_ns is None:
            self._first_ns = time_ns
        due_s = self._started_s + (time_ns - self._first_ns) / 1e9 / self._speed
        return due_s - self._clock.monotonic_s()
