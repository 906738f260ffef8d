"""From definitions, twins, commands and events into a document store."""

from collections.abc import Sequence

from connectors.documents import Collection, Document, DocumentSink
from connectors.ports import Reader, Writer
from connectors.projection import Step, project
from connectors.sink import INEXPRESSIBLE, Sink, SinkObserver
from connectors.stores import Refusal, StoreRefusedError
from schemas.trace import NO_TRACER, Tracer
from streams.log.record import LogRecord


class MetadataSink(Sink):
    """Types, twins and commands into a document store."""

    what = "metadata"
    round_records = 5000
    """Many: of each twin only the newest document is written."""

    def __init__(
        self,
        reader: Reader,
        store: DocumentSink,
        writer: Writer,
        observer: SinkObserver,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        """Store what to work with, as `Sink` says."""
        super().__init__(reader, writer, observer, tracer)
        self._documents = store

    async def _store(self, records: Sequence[LogRecord]) -> None:
        steps, refusals = project(records)
        for step in steps:
            refusals += await self._apply(step)
        if refusals:
            await self._dead_letter(records, refusals)

    async def _apply(self, step: Step) -> list[Refusal]:
        if step.deleted:
            await self._patiently(lambda: self._documents.delete(step.collection, step.deleted))
        return await self._upsert(step.collection, step.upserted) if step.upserted else []

    async def _upsert(self, collection: Collection, documents: Sequence[Document]) -> list[Refusal]:
        try:
            await self._patiently(lambda: self._documents.upsert(collection, documents))
        except StoreRefusedError as error:
            return list(error.refusals)
        except INEXPRESSIBLE as error:
            if len(documents) == 1:
                return [Refusal(documents[0].position, b"", repr(error))]
            middle = len(documents) // 2
            first = await self._upsert(collection, documents[:middle])
            return first + await self._upsert(collection, documents[middle:])
        return []
