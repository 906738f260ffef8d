"""Ports of document stores: what the sink writes through, and what the API reads through.

A technology's folder implements them; `connectors.memory` is the reference. Errors: `connectors.stores`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, Protocol, Self

from connectors.stores import NOWHERE, LogPosition

COMMAND_MARK = "issued_ns"
"""Key that only the command itself brings; what events told before it arrived is kept until then."""

COMMAND_TIMES = ("sent_ns", "acked_ns", "expired_ns", "refused_ns", "failed_ns")
"""Keys of a command that tell when something became of it; absent or None when it did not."""


class Collection(StrEnum):
    """Collections of documents, and what `id` means in each."""

    TYPES = "types"
    """Id: qualified type name."""
    TWINS = "twins"
    """Id: `{qualified type name}/{twin id}`."""
    COMMANDS = "commands"
    """Id: `{qualified type name}/{twin id}/{command id}`. Readers don't see one without `COMMAND_MARK`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A change of one document.

    Attributes:
        id: Stable identity inside the collection.
        revision: Guards `newest`; kept in the document as `revision`.
        newest: Top-level keys that hold for this revision; applied unless a higher revision was applied before.
        fixed: Top-level keys that are right whatever the revision; always applied.
        position: Record of the log that it comes from.
    """

    id: str
    revision: int
    newest: Mapping[str, Any]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    position: LogPosition = NOWHERE


class DocumentSink(Protocol):
    """A document store, seen by the sink role; one task calls it, never two at once.

    The order in which changes of one document arrive does not matter, except that deleting forgets its revision.
    """

    async def __aenter__(self) -> Self:
        """Take resources; a server that is away is no error here."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of everything."""

    async def upsert(self, collection: Collection, documents: Sequence[Document]) -> None:
        """Apply changes; returns once they are durable, and the caller then commits the log.

        Applying the same changes again changes nothing; an older revision never overwrites a newer one.

        Raises:
            StoreUnavailableError: some may be applied; the caller repeats the call with the same documents.
            StoreRefusedError: the others are applied; `remaining` is empty.
            ValueError: as for `SeriesSink.write`.
            SetupError: the server answers but can't be used as configured; the role ends with the message.
        """

    async def delete(self, collection: Collection, ids: Sequence[str]) -> None:
        """Delete documents; those that are absent are no error.

        Raises:
            StoreUnavailableError: as for `upsert`.
            SetupError: as for `upsert`.
        """


@dataclass(slots=True)
class Page:
    """Part of a list.

    Attributes:
        items: Documents without store-internal keys.
        next: Pass it as `after` for the next page; None when this is the last.
    """

    items: list[dict[str, Any]]
    next: str | None = None


class DocumentReader(Protocol):
    """Documents, seen by the API role; many tasks call it at once. Each call may raise `StoreUnavailableError`."""

    async def get(self, collection: Collection, document_id: str) -> dict[str, Any] | None:
        """One document, None when there is none."""

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

        Args:
            collection: Where to look.
            type_name: Only of this type.
            twin: Only of this twin; only for commands.
            after: `Page.next` of the page before; for types and twins any id.
            limit: Most items of a page, at least 1.

        Raises:
            ValueError: `after` is no such text, or `limit` is less than 1.
        """

    async def count(self, collection: Collection, *, type_name: str | None = None) -> int:
        """How many documents there are."""
