"""Writes the ticks of the partitions that an engine owns, for those whose processors want them."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

import structlog

from schemas.clock import NS_PER_S, AnchoredClock, Clock
from schemas.tick import tick_due, tick_record
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter
from streams.partition import PartitionRows

log = structlog.get_logger(__name__)

CONNECT_S = 10.0
"""So long one attempt to reach Kafka may take."""

LOOK_S = 0.5
"""So often it looks whether somebody wants ticks, at least."""

PATIENCE_S = 30.0
"""After this long a tick that was not processed counts as lost, if nothing else waits in its partition either."""


@dataclass(slots=True)
class LastTick:
    """What was written to a partition last.

    Attributes:
        topic_id: Of the input; made anew, its offsets begin anew.
        time_ns: That it tells.
        written_s: When, by a monotonic clock.
        offset: Where it stands, None while nobody knows.
    """

    topic_id: str
    time_ns: int = 0
    written_s: float = -inf
    offset: int | None = -1


def next_tick(rows: PartitionRows, last: LastTick, lag: int, clock: Clock) -> int | None:
    """Time of the tick to write to a partition now, UTC nanoseconds; None for none.

    None also while the last one was not processed: a partition that is behind is not flooded.
    """
    period_ns = round(rows.processor.tick_s * NS_PER_S)
    if not period_ns or last.offset is None:
        return None
    if rows.position <= last.offset and (lag > 0 or clock.monotonic_s() - last.written_s < PATIENCE_S):
        return None
    return tick_due(clock.now_ns(), period_ns, last.time_ns)


class Ticker:
    """Ticks of one input topic.

    Args:
        kafka: Where the topic is.
        topic: The input topic.
        owned: The partitions that are stepped here at the moment.
        lag: How many records of a partition wait from a position on, as far as known.
        clock: Its UTC is asked once; from then on its monotonic seconds count.
    """

    def __init__(
        self,
        kafka: KafkaOptions,
        topic: str,
        owned: Callable[[], Iterable[PartitionRows]],
        lag: Callable[[int, int], int],
        clock: Clock | None = None,
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self._owned = owned
        self._lag = lag
        self._clock = AnchoredClock(clock)
        self._last: dict[int, LastTick] = {}
        self._writer: LogWriter | None = None
        self._error: BaseException | None = None
        self._away = False

    async def run(self, ended: Callable[[], bool]) -> None:
        """Write ticks until `ended`; never raises for what Kafka does."""
        try:
            while not ended():
                try:
                    await self._turn()
                except Exception as error:  # noqa: BLE001 - Kafka is away, in whatever way
                    self._error = error
                if self._error is not None:
                    await self._give_up_writer()
                await asyncio.sleep(self._pause_s())
        finally:
            await self._disconnect()

    async def _turn(self) -> None:
        """Write every tick that is due."""
        for rows in list(self._owned()):
            last = self._last.get(rows.number)
            if last is None or last.topic_id != rows.lineage.topic_id:
                last = self._last[rows.number] = LastTick(rows.lineage.topic_id)
            time_ns = next_tick(rows, last, self._lag(rows.number, rows.position), self._clock)
            if time_ns is not None:
                async with asyncio.timeout(CONNECT_S):
                    await self._write(rows.number, last, time_ns)

    async def _write(self, partition: int, last: LastTick, time_ns: int) -> None:
        if self._writer is None:
            self._writer = await LogWriter(self._kafka).__aenter__()
        value, headers = tick_record(time_ns)
        sent = await self._writer.send(self._topic, None, value, headers=headers, partition=partition)
        last.time_ns, last.written_s, last.offset = time_ns, self._clock.monotonic_s(), None

        def written(done: asyncio.Future[tuple[int, int]]) -> None:
            error = None if done.cancelled() else done.exception()
            if done.cancelled() or error is not None:
                # Nobody knows whether it was written; a second one that tells the same does no harm.
                last.offset = -1
                self._error = error
                return
            last.offset = done.result()[1]
            if self._away:
                self._away = False
                log.info("ticks are written again", topic=self._topic)

        sent.add_done_callback(written)

    async def _give_up_writer(self) -> None:
        """Begin anew with another writer: after a failure an idempotent one may not go on."""
        if not self._away:
            self._away = True
            log.warning("ticks can't be written, trying again", topic=self._topic, error=repr(self._error))
        self._error = None
        await self._disconnect()
        self._error = None

    async def _disconnect(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.__aexit__(None, None, None)

    def _pause_s(self) -> float:
        """Until the next tick may be due, but not too long: partitions come, and versions switch."""
        now_ns = self._clock.now_ns()
        periods = {round(rows.processor.tick_s * NS_PER_S) for rows in self._owned()} - {0}
        return min([LOOK_S, *((period_ns - now_ns % period_ns) / NS_PER_S for period_ns in periods)])
