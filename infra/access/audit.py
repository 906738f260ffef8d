"""The audit trail: who changed what, when, and what came of it."""

import uuid
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
import structlog

from infra.access.caller import Caller
from streams.log.record import LogRecord

KEPT = 20_000
"""Entries that are shown; the topic has all of them."""

Result = Literal["done", "refused", "failed"]

log = structlog.get_logger(__name__)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One change, or one that was tried; value of `twinstream.audit`.

    Attributes:
        who: Name of the caller; empty where nobody has to show anything.
        via: How that was proved: `nothing`, `local`, `token`, `oidc`, or `kafka` of who spoke with Kafka itself.
        credential: Id of the token, or issuer and subject.
        address: Of the caller's end of the connection.
        action: Method and route, such as `PUT /api/twins/{type}/{id}`, or the name of what was done.
        path: That was called.
        type: Twin type that it is about, or empty.
        twin: Twin that it is about, or empty.
        content: What was sent, cut to a few kilobytes; empty where that would be a secret.
        result: `done`; `refused`: nothing was changed; `failed`: it may or may not have taken effect.
        status: HTTP status that was answered.
    """

    id: str
    time_ns: int
    who: str
    via: str
    credential: str
    address: str
    action: str
    path: str
    type: str
    twin: str
    content: str
    result: Result
    status: int


def entry_of(
    caller: Caller, *, time_ns: int, action: str, status: int, address: str = "", path: str = "", **about: str
) -> Entry:
    """An entry with an id of its own; `about` may be `type`, `twin` and `content`."""
    texts = {"type": "", "twin": "", "content": ""} | about
    return Entry(
        id=uuid.uuid4().hex,
        time_ns=time_ns,
        who=caller.name,
        via=caller.via,
        credential=caller.credential,
        address=address,
        action=action,
        path=path,
        result=result_of(status),
        status=status,
        **texts,
    )


def matches(entry: Entry, wanted: Mapping[str, str]) -> bool:
    """Whether attributes have the values that are wanted, `""` being any."""
    return all(value in {"", getattr(entry, name)} for name, value in wanted.items())


def place(entry: Entry) -> tuple[int, str]:
    """Where an entry stands in the order."""
    return entry.time_ns, entry.id


def result_of(status: int) -> Result:
    """What an HTTP status says of a change."""
    if status < 400:  # noqa: PLR2004 - HTTP's own classes
        return "done"
    return "refused" if status < 500 else "failed"  # noqa: PLR2004


class AuditTrail:
    """The latest entries in order of time, whichever partitions they are in."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._entries: dict[str, Entry] = {}
        self._order: list[tuple[int, str]] = []

    def apply(self, records: Iterable[LogRecord]) -> None:
        """Take in records of the log."""
        for record in records:
            if record.value is None:
                continue
            try:
                entry = msgspec.json.decode(record.value, type=Entry)
            except msgspec.MsgspecError as error:
                log.warning("a record of the audit trail is none", offset=record.offset, error=str(error))
                continue
            if entry.id not in self._entries:
                self._entries[entry.id] = entry
                insort(self._order, (entry.time_ns, entry.id))
        for _, entry_id in self._order[: -self._kept]:
            del self._entries[entry_id]
        del self._order[: -self._kept]

    def newest(self, limit: int, before: tuple[int, str] | None = None, **wanted: str) -> list[Entry]:
        """Up to `limit` entries, newest first.

        Args:
            limit: Most of them.
            before: Time and id of the last one of the page before.
            wanted: Attributes and the values that they must have; `""` for any.
        """
        end = len(self._order) if before is None else bisect_left(self._order, before)
        found: list[Entry] = []
        for _, entry_id in reversed(self._order[:end]):
            entry = self._entries[entry_id]
            if matches(entry, wanted):
                found.append(entry)
                if len(found) >= limit:
                    break
        return found


class AuditWriter:
    """Where entries go; a port, so that tests run without a log."""

    async def write(self, entry: Entry) -> None:
        """Make an entry durable.

        Raises:
            LogUnavailableError: that was not confirmed in time.
        """

    def later(self, entry: Entry) -> None:
        """Make an entry durable as soon as that can be."""


def shown(entry: Entry) -> dict[str, Any]:
    """As the API shows it."""
    return msgspec.to_builtins(entry)  # type: ignore[no-any-return]
