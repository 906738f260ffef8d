"""Documents on a server of MongoDB's protocol, guarded by revision."""

from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import bson
from bson.errors import BSONError
from pymongo import ASCENDING, DESCENDING, DeleteOne, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError

from connectors.documents import COMMAND_MARK, Collection, Document, Page
from connectors.mongo.changes import Change, after_duplicate_key, folded, guarded_upsert
from connectors.mongo.client import MongoConnection, Raw
from connectors.mongo.faults import Fault, fault, of_server
from connectors.paging import CommandCursor
from connectors.settings import MetadataSettings
from connectors.stores import Refusal, StoreRefusedError, StoreUnavailableError

T = TypeVar("T")

BATCH_DOCUMENTS = 1000
_LARGEST_BYTES = 15 * 1024 * 1024
_DOUBTFUL_TRIES = 3
"""How often a document is offered that the server refuses for a reason that nobody knows."""


class MongoStore:
    """A `DocumentSink` and a `DocumentReader` over one database."""

    def __init__(self, settings: MetadataSettings) -> None:
        self._connection = MongoConnection(settings)
        self._tries: Counter[str] = Counter()

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
        changes, refusals = _storable(folded(documents))
        async with self._connection.writing() as database:
            for batch in _cut(changes, BATCH_DOCUMENTS):
                upserts = [(guarded_upsert(change), change) for change in batch]
                taken, refused = await self._bulk(database, collection, upserts)
                refusals += refused
                updates = [(update, change) for change in taken for update in after_duplicate_key(change)]
                # These insert nothing: a key that is taken now is one of another unique index.
                taken, refused = await self._bulk(database, collection, updates)
                refusals += refused
                refusals += [refusal for change in taken for refusal in _refused(change, "a unique key is taken")]
        self._tries.clear()
        if refusals:
            raise StoreRefusedError(refusals)

    async def _bulk(
        self, database: AsyncDatabase[Raw], collection: Collection, updates: Sequence[tuple[UpdateOne, Change]]
    ) -> tuple[list[Change], list[Refusal]]:
        """Send updates; gives back changes whose id was taken, and what the server refuses."""
        taken: list[Change] = []
        refusals: list[Refusal] = []
        if not updates:
            return taken, refusals
        try:
            await database[collection].bulk_write([update for update, _ in updates], ordered=False)
        except BSONError as error:
            raise ValueError(str(error)) from error
        except BulkWriteError as error:
            if trouble := of_server(error):
                raise StoreUnavailableError(f"{collection}: {trouble}") from error
            doubtful: list[str] = []
            for one in error.details["writeErrors"]:
                change = updates[one["index"]][1]
                found, detail = fault(one), f"error {one['code']}: {one['errmsg']}"
                if found is Fault.DOUBTFUL:
                    self._tries[change.id] += 1
                    if self._tries[change.id] < _DOUBTFUL_TRIES:
                        doubtful.append(detail)
                        continue
                if found is Fault.ID_TAKEN:
                    taken.append(change)
                else:
                    refusals += _refused(change, detail)
            if doubtful:
                raise StoreUnavailableError(f"{collection}: {doubtful[0]}") from error
        return taken, refusals

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


def _storable(changes: Sequence[Change]) -> tuple[list[Change], list[Refusal]]:
    """Set aside what no server can hold, such as integers beyond 64 bits."""
    good = []
    refusals = []
    for change in changes:
        try:
            values = {**change.fixed, **change.newest}
            if any(not key or "." in key or key.startswith(("$", "_id")) for key in values):
                # In an update these would be paths and operators.
                refusals += _refused(change, "a top-level key is empty, `_id`, begins with $ or has a dot in it")
            elif len(bson.encode(values)) > _LARGEST_BYTES:
                refusals += _refused(change, f"larger than {_LARGEST_BYTES} bytes")
            else:
                good.append(change)
        except (BSONError, ValueError, OverflowError, RecursionError) as error:
            refusals += _refused(change, str(error))
    return good, refusals


def _refused(change: Change, detail: str) -> list[Refusal]:
    return [Refusal(position, b"", f"{change.id}: {detail}") for position in change.positions]


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
