"""Changes into a collection: in bulk, with each document that can't be stored told apart from the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import bson
from bson.errors import BSONError
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, PyMongoError

from connectors.mongo.changes import Change, fixed_update, guarded_update, guarded_upsert
from connectors.mongo.doubts import Doubts
from connectors.mongo.faults import Fault, fault, of_server
from connectors.stores import Refusal, StoreUnavailableError

Raw = dict[str, Any]

_LARGEST_BYTES = 15 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the server did with each change of a bulk.

    Attributes:
        taken: It has them.
        clashing: A unique key of theirs is taken.
        refused: It will never take them.
    """

    taken: list[Change]
    clashing: list[Change] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


async def apply(collection: AsyncCollection[Raw], changes: Sequence[Change], doubts: Doubts) -> list[Refusal]:
    """Apply changes of different documents; gives back what the server refuses.

    Raises:
        StoreUnavailableError: the server is in trouble; some may be applied.
        PyMongoError: it is away; likewise.
        ValueError: the client can't put one of them into its protocol.
    """
    inserted = await _bulk(collection, guarded_upsert, changes, doubts)
    updated = await _bulk(collection, guarded_update, inserted.clashing, doubts)
    fixed = await _bulk(collection, fixed_update, [change for change in updated.taken if change.fixed], doubts)
    # What is not there after all could not be inserted for another key than its id.
    there = await _present(collection, updated.taken)
    clashing = updated.clashing + fixed.clashing + [one for one in updated.taken if one.id not in there]
    refusals = inserted.refused + updated.refused + fixed.refused
    return refusals + [refusal for change in clashing for refusal in _refused(change, "a unique key is taken")]


def storable(changes: Sequence[Change]) -> tuple[list[Change], list[Refusal]]:
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


async def _bulk(
    collection: AsyncCollection[Raw],
    update_of: Callable[[Change], UpdateOne],
    changes: Sequence[Change],
    doubts: Doubts,
) -> _Answer:
    """Send one update per change."""
    if not changes:
        return _Answer([])
    try:
        await collection.bulk_write([update_of(change) for change in changes], ordered=False)
    except BSONError as error:
        raise ValueError(str(error)) from error
    except BulkWriteError as error:
        if trouble := of_server(error):
            doubts.clear()
            raise StoreUnavailableError(f"{collection.name}: {trouble}") from error
        return _told(collection.name, changes, error, doubts)
    except PyMongoError:
        doubts.clear()
        raise
    return _Answer(list(changes))


def _told(collection: str, changes: Sequence[Change], error: BulkWriteError, doubts: Doubts) -> _Answer:
    """What `error` says about each change.

    Raises:
        StoreUnavailableError: there are doubts about some.
    """
    failed = {one["index"]: one for one in error.details["writeErrors"]}
    answer = _Answer([change for index, change in enumerate(changes) if index not in failed])
    doubtful: list[str] = []
    for index, one in failed.items():
        change, found, detail = changes[index], fault(one), f"error {one['code']}: {one['errmsg']}"
        if found is Fault.KEY_TAKEN:
            answer.clashing.append(change)
        elif found is Fault.DOUBTFUL and not doubts.are_over(collection, change.id, others_taken=bool(answer.taken)):
            doubtful.append(detail)
        else:
            answer.refused.extend(_refused(change, detail))
    if doubtful:
        raise StoreUnavailableError(f"{collection}: {doubtful[0]}") from error
    return answer


async def _present(collection: AsyncCollection[Raw], changes: Sequence[Change]) -> set[str]:
    """Ids of those whose document is there."""
    if not changes:
        return set()
    wanted = {"_id": {"$in": [change.id for change in changes]}}
    return {found["_id"] async for found in collection.find(wanted, {"_id": 1})}


def _refused(change: Change, detail: str) -> list[Refusal]:
    return [Refusal(position, b"", f"{change.id}: {detail}") for position in change.positions]
