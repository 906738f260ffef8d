"""Objects on the output topics: commands, events, dead letters and documents, as JSON."""

import binascii
import hashlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Literal

import msgspec

from schemas.headers import RECEIVED, REDRIVE, SOURCE

Value = bool | int | float | str
Severity = Literal["info", "warning", "critical"]

_SEPARATOR = "\x1f"

RAW_LIMIT_BYTES = 64 * 1024
"""Of a larger refused payload a dead letter keeps this much, its length and its SHA-256."""

_TOLD = frozenset({RECEIVED, SOURCE, REDRIVE})
_HEADER_LIMIT = 128
_HEADERS_LIMIT = 32

TEXT_LIMIT = 1000
"""Characters that are kept of a text that others wrote: an output must always fit into a record."""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """The record in the input topic that an output follows from.

    Attributes:
        partition: Partition of the type's input topic.
        offset: Offset in it.
        definition: Content hash of the definition that was in force.
        parameters: Revision of the twin's parameters that was in force.
    """

    partition: int
    offset: int
    definition: str
    parameters: int


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order to a device, or one that was wanted and refused.

    Attributes:
        id: Hash of cluster, topic, partition, offset, twin and name: the same after any replay.
        issued_ns: Event time of the cause, UTC nanoseconds.
        expires_ns: Arrival of the cause plus the time to live, UTC nanoseconds.
        status: `issued`, or `refused`: it must never reach a device. What becomes of an issued one is told by events.
        reason: Why it was refused.
    """

    id: str
    type: str
    twin: str
    name: str
    value: Value
    issued_ns: int
    expires_ns: int
    cause: Cause
    status: Literal["issued", "refused"] = "issued"
    reason: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a twin."""

    id: str
    type: str
    twin: str
    name: str
    severity: Severity
    event_time_ns: int
    cause: Cause
    data: dict[str, Any]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record that could not be used.

    Attributes:
        source: `mqtt:` + topic, `amqp:` + exchange + `/` + routing key, or `kafka:topic/partition/offset`.
        size: Length of the whole payload, bytes.
        raw_base64: The payload, cut to `RAW_LIMIT_BYTES`.
        sha256: Of the whole payload, only when it was cut.
        headers: Those that the record had beside arrival and source, as far as they are text.
        field: Where the payload is one bare value: the input it was for.
    """

    id: str
    reason: str
    detail: str
    source: str
    type: str
    twin: str
    received_ns: int
    size: int
    raw_base64: str
    sha256: str = ""
    headers: dict[str, str] = {}
    field: str = ""


class Redriven(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a letter was sent once more, and what became of it.

    Attributes:
        time_ns: When it was sent, UTC nanoseconds.
        partition: Of the type's input topic.
        offset: In it.
        outcome: `sent` until a worker took it; then `accepted`, `duplicate`, `late`, `rejected` for a request or
            parameter change that was not carried out, or the reason why it was refused again.
        detail: What was wrong with it then.
    """

    time_ns: int
    partition: int
    offset: int
    outcome: str
    detail: str = ""


SENT = "sent"
"""Outcome of a letter that no worker took yet."""


class LetterNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a letter; a record of its own among the dead letters, with the letter's id as header.

    Attributes:
        id: Of the letter.
        redriven: It was sent once more.
        purged_ns: When somebody removed it, UTC nanoseconds; 0: nobody did.
    """

    id: str
    redriven: Redriven | None = None
    purged_ns: int = 0


class TwinDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Who and what a twin is; value of `.metadata`, document in `twins`."""

    id: str
    type: str
    project: str
    version: str
    revision: int
    parameters: dict[str, Value]
    tags: dict[str, str]
    definition: str
    created_ns: int
    updated_ns: int
    status: str
    metadata: dict[str, Value] = {}


def encode(message: msgspec.Struct) -> bytes:
    """JSON bytes of a message."""
    return msgspec.json.encode(message)


def stable_id(*parts: str | int) -> str:
    """32 hexadecimal digits that depend on `parts` alone."""
    return stable_digest(*parts).hexdigest()


def stable_digest(*parts: str | int) -> "hashlib.blake2b":
    """The hash behind `stable_id`; `update` with the separator and a further part goes on."""
    text = _SEPARATOR.join(map(str, parts))
    return hashlib.blake2b(text.encode(), digest_size=16)


def command_id(*, cluster: str, topic_id: str, partition: int, offset: int, twin: str, name: str) -> str:
    """Id of a command, the same after any replay of its cause."""
    return stable_id("command", cluster, topic_id, partition, offset, twin, name)


def kept_headers(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Of a record's headers those that a dead letter keeps: short texts that it does not say in other words."""
    kept: dict[str, str] = {}
    for name, value in headers:
        if name in _TOLD or len(name) > _HEADER_LIMIT or len(value) > TEXT_LIMIT or len(kept) >= _HEADERS_LIMIT:
            continue
        with suppress(UnicodeDecodeError):
            kept[name] = value.decode()
    return kept


def dead_letter(
    *,
    reason: str,
    detail: str,
    source: str,
    type_name: str,
    twin: str,
    received_ns: int,
    raw: bytes,
    headers: Iterable[tuple[str, bytes]] = (),
    field: str = "",
) -> DeadLetter:
    """Build a dead letter; its id depends on what it is about, so that a repeat is recognised."""
    cut = raw[:RAW_LIMIT_BYTES]
    whole = hashlib.sha256(raw).hexdigest()
    return DeadLetter(
        id=stable_id("deadletter", source, received_ns, reason, type_name, twin, whole),
        reason=reason,
        detail=detail[:TEXT_LIMIT],
        source=source[:TEXT_LIMIT],
        type=type_name,
        twin=twin[:TEXT_LIMIT],
        received_ns=received_ns,
        size=len(raw),
        raw_base64=binascii.b2a_base64(cut, newline=False).decode(),
        sha256=whole if len(raw) > RAW_LIMIT_BYTES else "",
        headers=kept_headers(headers),
        field=field,
    )
