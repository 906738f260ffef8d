"""From the `.timeseries` topics into a time-series store."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from connectors.ports import Reader, Writer
from connectors.projection import position_of
from connectors.series import PositionedSeriesSink, SeriesSink
from connectors.sink import INEXPRESSIBLE, Sink, SinkObserver
from connectors.stores import Block, Refusal, StoreRefusedError
from schemas.trace import NO_TRACER, Tracer
from streams.log.record import LogRecord

TIMESERIES_PATTERN = r"^twinstream\.[a-z0-9_-]+\.timeseries$"


class SeekableReader(Reader, Protocol):
    """A reader whose place can be set; `streams.log.group.GroupReader`."""

    async def seek(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Read on from these next offsets, and forget what was read and not committed."""

    def assignment(self) -> set[tuple[str, int]]:
        """Partitions that are read now."""


class TimeseriesSink(Sink):
    """Blocks of line protocol into a time-series store.

    A store that keeps the log's positions is the truth about where to go on: after every change of the assignment the
    reader is set to them.
    """

    what = "time series"

    def __init__(
        self,
        reader: SeekableReader,
        store: SeriesSink,
        writer: Writer,
        observer: SinkObserver,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        """Store what to work with, as `Sink` says."""
        super().__init__(reader, writer, observer, tracer)
        self._seekable = reader
        self._series = store
        self._placed: set[tuple[str, int]] = set()

    async def _gather(self) -> None:
        await super()._gather()
        if not isinstance(self._series, PositionedSeriesSink):
            return
        assigned = self._seekable.assignment()
        if assigned != self._placed:
            # What was just read may be the wrong place: leave it, and read again from the right one.
            stored = await self._series.positions()
            await self._seekable.seek({partition: stored.get(partition, 0) for partition in assigned})
            self._placed = assigned
            self._forget()

    async def _store(self, records: Sequence[LogRecord]) -> None:
        await self._write_all(records, [Block(position_of(record), record.value or b"") for record in records])

    async def _write_all(self, records: Sequence[LogRecord], blocks: Sequence[Block]) -> None:
        while blocks:
            blocks = await self._write(records, blocks)

    async def _write(self, records: Sequence[LogRecord], blocks: Sequence[Block]) -> Sequence[Block]:
        """Write blocks; gives back what is left of them once their bad lines are dead letters."""
        try:
            await self._patiently(lambda: self._series.write(blocks))
        except StoreRefusedError as error:
            await self._dead_letter(records, error.refusals)
            return error.remaining
        except INEXPRESSIBLE as error:
            if len(blocks) == 1:
                await self._dead_letter(records, [Refusal(blocks[0].position, b"", repr(error))])
                return [Block(blocks[0].position, b"")] if blocks[0].lines else ()
            middle = len(blocks) // 2
            for half in (blocks[:middle], blocks[middle:]):
                await self._write_all(records, half)
        return ()
