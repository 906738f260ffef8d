"""Blocks of line protocol for a time-series store."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from connectors.stores import Block, LogPosition, PositionedSeriesSink, Refusal, SeriesSink, StoreRefusedError
from streams.log.group import GroupReader
from streams.log.record import LogRecord

SERIES_PATTERN = r"^twinstream\.[a-z0-9_-]+\.timeseries$"


@runtime_checkable
class _Positioned(Protocol):
    def positions(self) -> object: ...


class SeriesRecords:
    """A `RecordSink` over a time-series store."""

    def __init__(self, store: SeriesSink | PositionedSeriesSink) -> None:
        self._store = store

    async def assigned(self, reader: GroupReader) -> bool:
        """Go on from where the store itself says that it is, if it keeps that with its points."""
        if not isinstance(self._store, _Positioned):
            return False
        known = await self._store.positions()
        await reader.seek({place: known.get(place, 0) for place in reader.assignment()})
        return True

    def work(self, records: Sequence[LogRecord]) -> tuple[list[Block], list[Refusal]]:
        """A block of each record."""
        return [
            Block(LogPosition(record.topic, record.partition, record.offset), record.value)
            for record in records
            if record.value
        ], []

    async def write(self, work: list[Block]) -> None:
        """Store the blocks."""
        await self._store.write(work)

    def rest(self, work: list[Block], error: StoreRefusedError) -> list[Block]:  # noqa: ARG002 - the store says it
        """Blocks that are not stored yet."""
        return list(error.remaining)
