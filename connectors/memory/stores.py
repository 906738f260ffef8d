"""Stores that live in the process: the reference for every other, and a stand-in in tests."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from types import TracebackType
from typing import Any, Self

from connectors.documents import COMMAND_MARK, Collection, Document, Page
from connectors.lines import LineError, lines_of, parse_line
from connectors.paging import CommandCursor
from connectors.series import SERIES_LIMIT, Buckets, Series, bucket_width
from connectors.stores import Block, Refusal, StoreRefusedError

_Tags = tuple[tuple[str, str], ...]


class _InMemory:
    async def __aenter__(self) -> Self:
        """Nothing to take."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to let go of."""


class MemorySeriesStore(_InMemory):
    """Time series in a dictionary; a `PositionedSeriesSink` and a `SeriesReader`."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, str], dict[int, dict[_Tags, float]]] = {}
        self._next: dict[tuple[str, int], int] = {}

    async def positions(self) -> Mapping[tuple[str, int], int]:
        """Next offset per (topic, partition)."""
        return dict(self._next)

    async def write(self, blocks: Sequence[Block]) -> None:
        """Store blocks.

        Raises:
            StoreRefusedError: lines that are no line protocol; the others are stored.
        """
        refusals = []
        for block in blocks:
            topic, partition, offset = block.position
            if offset < self._next.get((topic, partition), 0):
                continue
            for raw, text in lines_of(block.lines):
                try:
                    self._store(text)
                except LineError as error:
                    refusals.append(Refusal(block.position, raw, str(error)))
            self._next[topic, partition] = offset + 1
        if refusals:
            raise StoreRefusedError(refusals)

    def _store(self, text: str | None) -> None:
        if text is None:
            message = "not UTF-8"
            raise LineError(message)
        line = parse_line(text)
        tags = tuple(sorted(line.tags.items()))
        for name, value in line.fields.items():
            at = self._points.setdefault((line.measurement, name), {}).setdefault(line.time_ns, {})
            at.pop(tags, None)
            at[tags] = value

    async def series(
        self, type_name: str, twin: str, field: str, start_ns: int | None, stop_ns: int | None, limit: int
    ) -> Series:
        """The oldest `limit` points between `start_ns` and `stop_ns`, both inclusive.

        Raises:
            ValueError: `limit` is outside its range.
        """
        if not 1 <= limit <= SERIES_LIMIT:
            message = f"limit must be 1 to {SERIES_LIMIT}"
            raise ValueError(message)
        found = Series()
        for time_ns, at in sorted(self._points.get((type_name, field), {}).items()):
            values = [value for tags, value in at.items() if ("twin", twin) in tags]
            after_start = start_ns is None or time_ns >= start_ns
            before_stop = stop_ns is None or time_ns <= stop_ns
            if values and after_start and before_stop and len(found.time_ns) < limit:
                found.time_ns.append(time_ns)
                found.value.append(values[-1])
        return found

    async def buckets(self, type_name: str, twin: str, field: str, start_ns: int, stop_ns: int, count: int) -> Buckets:
        """What the points come to in at most `count` stretches of equal length.

        Raises:
            ValueError: as for `bucket_width`.
        """
        width_ns = bucket_width(start_ns, stop_ns, count)
        stretches: dict[int, list[float]] = {}
        for time_ns, at in sorted(self._points.get((type_name, field), {}).items()):
            values = [value for tags, value in at.items() if ("twin", twin) in tags]
            if values and start_ns <= time_ns <= stop_ns:
                stretches.setdefault((time_ns - start_ns) // width_ns, []).append(values[-1])
        found = Buckets()
        for number, values in stretches.items():
            found.time_ns.append(start_ns + number * width_ns)
            found.low.append(min(values))
            found.high.append(max(values))
            found.mean.append(sum(values) / len(values))
            found.number.append(len(values))
        return found


class MemoryDocumentStore(_InMemory):
    """Documents in dictionaries; a `DocumentSink` and a `DocumentReader`."""

    def __init__(self) -> None:
        self._documents: dict[Collection, dict[str, dict[str, Any]]] = {collection: {} for collection in Collection}

    async def upsert(self, collection: Collection, documents: Sequence[Document]) -> None:
        """Apply changes."""
        for change in documents:
            kept = self._documents[collection].setdefault(change.id, {"revision": change.revision})
            kept.update(change.fixed)
            if kept["revision"] <= change.revision:
                kept.update(change.newest, revision=change.revision)

    async def delete(self, collection: Collection, ids: Sequence[str]) -> None:
        """Delete documents."""
        for document_id in ids:
            self._documents[collection].pop(document_id, None)

    async def get(self, collection: Collection, document_id: str) -> dict[str, Any] | None:
        """One document, None when there is none."""
        found = self._seen(collection).get(document_id)
        return None if found is None else dict(found)

    async def list(
        self,
        collection: Collection,
        *,
        type_name: str | None = None,
        twin: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page:
        """A page of documents: commands newest first, the others by id.

        Raises:
            ValueError: as the port says.
        """
        if limit < 1:
            message = "limit must be at least 1"
            raise ValueError(message)
        found = [
            (document_id, document)
            for document_id, document in self._seen(collection).items()
            if type_name in {None, document.get("type")} and twin in {None, document.get("twin")}
        ]
        if collection is Collection.COMMANDS:
            found.sort(key=_newest_first, reverse=True)
            if after is not None:
                end = CommandCursor.parse(after)
                found = [item for item in found if _newest_first(item) < end]
        else:
            found = sorted((item for item in found if after is None or item[0] > after), key=itemgetter(0))
        items = [dict(document) for _, document in found[:limit]]
        if len(found) <= limit:
            return Page(items)
        last = found[limit - 1]
        return Page(items, str(_newest_first(last)) if collection is Collection.COMMANDS else last[0])

    async def count(self, collection: Collection, *, type_name: str | None = None) -> int:
        """How many documents there are."""
        return sum(type_name in {None, document.get("type")} for document in self._seen(collection).values())

    def _seen(self, collection: Collection) -> dict[str, dict[str, Any]]:
        documents = self._documents[collection]
        if collection is not Collection.COMMANDS:
            return documents
        return {document_id: document for document_id, document in documents.items() if COMMAND_MARK in document}


def _newest_first(item: tuple[str, dict[str, Any]]) -> CommandCursor:
    return CommandCursor(item[1].get("issued_ns", 0), item[0])
