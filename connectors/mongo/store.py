"""Documents on a server of MongoDB's protocol, guarded by revision."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import bson
from pymongo import ASCENDING, DESCENDING, DeleteOne

from connectors.documents import COMMAND_MARK, Collection, Document, Page
from connectors.mongo.changes import folded
from connectors.mongo.client import MongoConnection, Raw
from connectors.mongo.doubts import Doubts
from connectors.mongo.upserts import apply, storable
from connectors.paging import CommandCursor
from connectors.settings import MetadataSettings
from connectors.stores import StoreRefusedError
from schemas.clock import Clock, SystemClock

T = TypeVar("T")

BATCH_DOCUMENTS = 1000


class MongoStore:
    """A `DocumentSink` and a `DocumentReader` over one database.

    Args:
        settings: Where it is.
        clock: Measures how long a document is offered; the host's unless given.
    """

    def __init__(self, settings: MetadataSettings, clock: Clock | None = None) -> None:
        self._connection = MongoConnection(settings)
        self._doubts = Doubts(clock or SystemClock())

    async def __aenter__(self) -> Self:
        """Nothing is opened yet: the first call does it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._connection.close()

    async def upsert(self, collection: Collection, documents: Sequence[Document]) -> None:
        """Apply changes in bulk; an older revision never overwrites a newer one.

        Raises:
            StoreUnavailableError: the server is away; some may be applied.
            StoreRefusedError: documents that can't be stored; the others are.
            SetupError: address or credentials are wrong.
        """
        changes, refusals = storable(folded(documents))
        async with self._connection.writing() as database:
            for batch in _cut(changes, BATCH_DOCUMENTS):
                refusals += await apply(database[collection], batch, self._doubts)
        self._doubts.clear()
        if refusals:
            raise StoreRefusedError(refusals)

    async def delete(self, collection: Collection, ids: Sequence[str]) -> None:
        """Delete documents; those that are absent are no error.

        Raises:
            StoreUnavailableError: the server is away; some may be deleted.
            SetupError: address or credentials are wrong.
        """
        async with self._connection.writing() as database:
            for batch in _cut(ids, BATCH_DOCUMENTS):
                await database[collection].bulk_write([DeleteOne({"_id": one}) for one in batch], ordered=False)

    async def get(self, collection: Collection, document_id: str) -> dict[str, Any] | None:
        """One document, None when there is none.

        Raises:
            StoreUnavailableError: the server is away.
        """
        async with self._connection.reading() as database:
            found = await database[collection].find_one({**_seen(collection), "_id": document_id})
        return None if found is None else _shown(found)

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
            StoreUnavailableError: the server is away.
            ValueError: `after` is no such text, or `limit` is less than 1.
        """
        if limit < 1:
            message = "limit must be at least 1"
            raise ValueError(message)
        wanted = _seen(collection)
        if type_name is not None:
            wanted["type"] = type_name
        if twin is not None:
            wanted["twin"] = twin
        newest_first = collection is Collection.COMMANDS
        if after is not None:
            wanted |= _below(CommandCursor.parse(after)) if newest_first else {"_id": {"$gt": after}}
        order = [("issued_ns", DESCENDING), ("_id", DESCENDING)] if newest_first else [("_id", ASCENDING)]
        async with self._connection.reading() as database:
            found = await database[collection].find(wanted).sort(order).limit(limit + 1).to_list()
        if len(found) <= limit:
            return Page([_shown(document) for document in found])
        last = found[limit - 1]
        end = str(CommandCursor(int(last.get("issued_ns", 0)), last["_id"])) if newest_first else last["_id"]
        return Page([_shown(document) for document in found[:limit]], end)

    async def count(self, collection: Collection, *, type_name: str | None = None) -> int:
        """How many documents there are.

        Raises:
            StoreUnavailableError: the server is away.
        """
        async with self._connection.reading() as database:
            wanted = _seen(collection) | ({} if type_name is None else {"type": type_name})
            return int(await database[collection].count_documents(wanted))


def _seen(collection: Collection) -> Raw:
    """What readers see: not what events told of a command that has not arrived."""
    return {COMMAND_MARK: {"$exists": True}} if collection is Collection.COMMANDS else {}


def _below(end: CommandCursor) -> Raw:
    return {"$or": [{"issued_ns": {"$lt": end.issued_ns}}, {"issued_ns": end.issued_ns, "_id": {"$lt": end.id}}]}


def _shown(document: Raw) -> dict[str, Any]:
    return {key: _plain(value) for key, value in document.items() if key != "_id"}


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Integers as plain `int`: BSON's own class of 64-bit integers is one that not every encoder knows."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, bson.Int64) else value


def _cut(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
