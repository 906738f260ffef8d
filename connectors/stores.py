"""Ports of the stores: what a sink needs to write, and what the API needs to read.

A technology's folder implements them; `connectors.memory` is the reference.

StoreError
├── StoreUnavailableError   the store is away; the same call may succeed later
└── StoreRefusedError       the store will never take some of this; carries which
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

from schemas.errors import TwinstreamError

SERIES_LIMIT = 100_000
"""Most points that one call of `SeriesReader.series` answers."""
TIME_MIN_NS = -(2**63) + 2
TIME_MAX_NS = 2**63 - 3
"""Times outside these are refused: the widest range that every store can hold."""


class LogPosition(NamedTuple):
    """Where something stands in the log."""

    topic: str
    partition: int
    offset: int


NOWHERE = LogPosition("", 0, 0)
"""Position of what does not come from the log."""


class Block(NamedTuple):
    """A record of a `.timeseries` topic.

    Attributes:
        lines: UTF-8 line protocol, nanoseconds, all field values floating point.
    """

    position: LogPosition
    lines: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a store will never take.

    Attributes:
        position: Record of the log that it came with.
        raw: The one line of a block; `b""` means the whole record.
        detail: The store's reason, for people.
    """

    position: LogPosition
    raw: bytes
    detail: str


class StoreError(TwinstreamError):
    """Base of what a store raises."""


class StoreUnavailableError(StoreError):
    """The store is away or in trouble; the caller waits and makes the same call again."""


class StoreRefusedError(StoreError):
    """The store refuses some of it for good.

    Attributes:
        refusals: The caller makes each a dead letter, and does not offer it again.
        remaining: Blocks that are not stored yet; the caller writes them once the dead letters are durable.
            Whatever is neither refused nor remaining is stored.
    """

    def __init__(self, refusals: Sequence[Refusal], remaining: Sequence[Block] = ()) -> None:
        super().__init__(f"{len(refusals)} refused, first: {refusals[0].detail}")
        self.refusals = tuple(refusals)
        self.remaining = tuple(remaining)


class SeriesSink(Protocol):
    """A time-series store, seen by the sink role; one task calls it, never two at once."""

    async def __aenter__(self) -> Self:
        """Take resources; a server that is away is no error here.

        Raises:
            SetupError: the surroundings are wrong; the role ends with the message.
        """

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of everything; what `write` returned for stays stored."""

    async def write(self, blocks: Sequence[Block]) -> None:
        """Store blocks, in this order; returns once they are durable, and the caller then commits the log.

        Writing the same blocks again changes nothing. A later point with the same measurement, tags, field and time
        replaces the earlier one.

        Raises:
            StoreUnavailableError: nothing is promised; the caller repeats the call with the same blocks.
            StoreRefusedError: see there.
            ValueError: something in it can't be expressed, and nothing is promised; the caller finds it by halves.
            SetupError: the server answers but can't be used as configured; the role ends with the message.
        """


@runtime_checkable
class PositionedSeriesSink(SeriesSink, Protocol):
    """A time-series store that keeps the log's positions in the same transaction as the points."""

    async def positions(self) -> Mapping[tuple[str, int], int]:
        """Next offset per (topic, partition); the caller reads on from here after every assignment, 0 when absent."""


@dataclass(slots=True)
class Series:
    """Points of one field, oldest first, at most one per time.

    Attributes:
        time_ns: UTC nanoseconds.
        value: As many as `time_ns`.
    """

    time_ns: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)


class SeriesReader(Protocol):
    """History of twins, seen by the API role; many tasks call it at once."""

    async def series(
        self, type_name: str, twin: str, field: str, start_ns: int | None, stop_ns: int | None, limit: int
    ) -> Series:
        """The oldest `limit` points with `start_ns` <= time <= `stop_ns`; empty for what was never written.

        Args:
            type_name: Qualified type name, the measurement.
            twin: Twin id.
            field: Output field.
            start_ns: UTC nanoseconds, None for no bound.
            stop_ns: UTC nanoseconds, None for no bound.
            limit: 1 to `SERIES_LIMIT`.

        Raises:
            StoreUnavailableError: the caller answers that history is not to be had now.
            ValueError: `limit` is outside its range.
        """


COMMAND_MARK = "issued_ns"
"""Key that only the command itself brings; what events told before it arrived is kept until then."""


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
