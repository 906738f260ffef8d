"""Records of the log into a store: written, then committed; refused ones become dead letters."""

from collections.abc import Callable, Sequence
from typing import Generic, NoReturn, Protocol, TypeVar

import structlog
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry, Counter

from connectors.stores import Refusal, StoreRefusedError
from infra.roles.letters import by_position, write_letters
from infra.roles.patience import Patience
from schemas.clock import Clock
from streams.log.group import GroupReader
from streams.log.record import LogRecord
from streams.log.writer import LogWriter

log = structlog.get_logger(__name__)

W = TypeVar("W")
_BATCH_RECORDS = 500


class RecordSink(Protocol[W]):
    """What a store makes of records; `W` is its work for a batch, empty (false) when nothing is to be done."""

    async def assigned(self, reader: GroupReader) -> bool:
        """The reader's partitions changed; true when the reader was sent elsewhere and what it read is void.

        Raises:
            StoreUnavailableError: repeat the call.
        """

    def work(self, records: Sequence[LogRecord]) -> tuple[W, list[Refusal]]:
        """Work for a batch, and records that are no such thing."""

    async def write(self, work: W) -> None:
        """Do the work; doing it again changes nothing.

        Raises:
            StoreUnavailableError: repeat the call.
            StoreRefusedError: go on with `rest` once the dead letters are durable.
        """

    def rest(self, work: W, error: StoreRefusedError) -> W:
        """What is left of the work after a refusal."""


class SinkFigures:
    """Counts what a sink does."""

    def __init__(self, registry: CollectorRegistry, store: str) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"twinstream_sink_{name}", text, ["store", *labels], registry=registry)

        self.records = counter("records", "Records that are stored or were refused.").labels(store)
        self.bytes = counter("bytes", "Their values.").labels(store)
        self._letters = counter("deadletters", "Dead letters written by this sink.", "reason")
        self._store = store

    def refused(self, reason: str) -> None:
        """Count a dead letter."""
        self._letters.labels(self._store, reason).inc()


class Pump(Generic[W]):
    """Moves records until cancelled; a store or a Kafka that is away is waited for."""

    def __init__(
        self,
        *,
        sink: RecordSink[W],
        patience: Patience,
        figures: SinkFigures,
        clock: Clock,
        stored: Callable[[], None],
    ) -> None:
        """Store what it works with.

        Args:
            sink: The store.
            patience: For a store that is away.
            figures: Counts.
            clock: Stamps dead letters.
            stored: Called whenever the store has answered.
        """
        self._sink = sink
        self._patience = patience
        self._figures = figures
        self._clock = clock
        self._stored = stored

    async def run(self, reader: GroupReader, writer: LogWriter) -> NoReturn:
        """Move records for ever."""
        assignment: set[tuple[str, int]] = set()
        while True:
            records = await reader.read(max_records=_BATCH_RECORDS)
            if reader.assignment() != assignment:
                assignment = reader.assignment()
                if await self._assigned(reader):
                    continue
            if records:
                await self._store(records, writer)
                await self._commit(reader)
            self._stored()

    async def _assigned(self, reader: GroupReader) -> bool:
        moved = False

        async def ask() -> None:
            nonlocal moved
            moved = await self._sink.assigned(reader)

        await self._patience.until_done(ask)
        return moved

    async def _store(self, records: Sequence[LogRecord], writer: LogWriter) -> None:
        places = by_position(records)
        work, refusals = self._sink.work(records)
        while True:
            for letter in await write_letters(writer, refusals, places, self._clock):
                self._figures.refused(letter.reason)
            if not work:
                break
            try:
                await self._patience.until_done(lambda todo=work: self._sink.write(todo))  # type: ignore[misc]
                break
            except StoreRefusedError as error:
                log.warning("store refuses records", refused=len(error.refusals), first=error.refusals[0].detail)
                refusals, work = list(error.refusals), self._sink.rest(work, error)
        self._figures.records.inc(len(records))
        self._figures.bytes.inc(sum(len(record.value or b"") for record in records))

    async def _commit(self, reader: GroupReader) -> None:
        try:
            await reader.commit()
        except KafkaError as error:
            # The records are stored: read again after a restart they change nothing.
            log.warning("positions could not be committed", error=repr(error))
