"""Changes of documents as updates that never go backwards; plain operators only, which every server has."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo import UpdateOne

from connectors.documents import Document
from connectors.stores import LogPosition

REVISION = "revision"


@dataclass(frozen=True, slots=True)
class Change:
    """All that one batch says about one document.

    Attributes:
        positions: Of every record it comes from.
    """

    id: str
    revision: int
    newest: Mapping[str, Any]
    fixed: Mapping[str, Any]
    positions: tuple[LogPosition, ...]


def folded(documents: Iterable[Document]) -> list[Change]:
    """One change per id, so that the order of updates inside a batch means nothing."""
    changes: dict[str, Change] = {}
    for document in documents:
        known = changes.get(document.id)
        if known is None:
            positions = (document.position,)
            changes[document.id] = Change(document.id, document.revision, document.newest, document.fixed, positions)
        else:
            newer = document.revision >= known.revision
            changes[document.id] = Change(
                document.id,
                max(document.revision, known.revision),
                {**known.newest, **document.newest} if newer else known.newest,
                {**known.fixed, **document.fixed},
                (*known.positions, document.position),
            )
    return list(changes.values())


def guarded_upsert(change: Change) -> UpdateOne:
    """Insert or update in one step.

    A document with a higher revision does not match, so the server tries to insert, and finds the id taken: a duplicate
    key means "not newer, or somebody inserted it in this moment", or that another unique key is taken. The updates
    below insert nothing, and so tell these apart.
    """
    values = {**change.fixed, **change.newest, REVISION: change.revision}
    return UpdateOne(_not_newer(change), {"$set": values}, upsert=True)


def guarded_update(change: Change) -> UpdateOne:
    """Update a document that exists, unless it is newer."""
    return UpdateOne(_not_newer(change), {"$set": {**change.newest, REVISION: change.revision}})


def fixed_update(change: Change) -> UpdateOne:
    """Update what is right whatever the revision, of a document that exists."""
    return UpdateOne({"_id": change.id}, {"$set": dict(change.fixed)})


def _not_newer(change: Change) -> dict[str, Any]:
    return {"_id": change.id, REVISION: {"$lte": change.revision}}
