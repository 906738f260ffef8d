"""Documents for a document store."""

from collections.abc import Sequence

import msgspec

from connectors.stores import DocumentSink, LogPosition, Refusal, StoreRefusedError
from infra.roles.documents import Change, change_of, runs
from streams.log.group import GroupReader
from streams.log.record import LogRecord

DOCUMENTS_PATTERN = r"^twinstream\.(definitions|[a-z0-9_-]+\.(metadata|commands|events))$"


class DocumentRecords:
    """A `RecordSink` over a document store."""

    def __init__(self, store: DocumentSink) -> None:
        self._store = store

    async def assigned(self, reader: GroupReader) -> bool:  # noqa: ARG002 - the group's positions hold
        """Nothing: what comes twice changes nothing."""
        return False

    def work(self, records: Sequence[LogRecord]) -> tuple[list[Change], list[Refusal]]:
        """Changes in the order of the records."""
        changes, refusals = [], []
        for record in records:
            try:
                if (change := change_of(record)) is not None:
                    changes.append(change)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                place = LogPosition(record.topic, record.partition, record.offset)
                refusals.append(Refusal(place, b"", f"not what its topic says: {error}"))
        return changes, refusals

    async def write(self, work: list[Change]) -> None:
        """Apply the changes."""
        for run in runs(work):
            collection = run[0].collection
            documents = [change.document for change in run if change.document is not None]
            if documents:
                await self._store.upsert(collection, documents)
            else:
                await self._store.delete(collection, [change.id for change in run])

    def rest(self, work: list[Change], error: StoreRefusedError) -> list[Change]:
        """Everything that was not refused; what is applied already may be applied again."""
        refused = {refusal.position for refusal in error.refusals}
        return [change for change in work if change.position not in refused]
