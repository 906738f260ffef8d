"""Records of the log as changes of documents. Pure.

What is issued, sent, expired, refused, failed and acknowledged comes from two topics, in no order that could be relied
on. So a command's status has a rank, which is its document's revision: the highest wins, whatever comes last. An event
never makes a command: what it says is kept, unseen by readers, until the command itself arrives. Its type and twin are
part of the document's id, so that an acknowledgement reaches commands of its own twin only.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from connectors.documents import Collection, Document
from connectors.stores import LogPosition, Refusal
from schemas.deployment import Deployment
from schemas.messages import TEXT_LIMIT, Command, Event, TwinDocument
from schemas.names import check_twin_id
from schemas.topics import DEFINITIONS, type_of_topic
from streams.log.record import LogRecord

PATTERN = r"^twinstream\.(definitions|[a-z0-9_-]+\.(metadata|commands|events))$"
"""Topics that documents come from."""

STATUS_RANK = {"issued": 0, "expired": 1, "refused": 2, "sent": 3, "failed": 4, "acked": 5}
"""One broker may refuse what another took; what was sent can fail; an acknowledgement is stronger than all: the device
saw the command."""
_FAILURES = ("expired", "refused", "failed")
"""Their times are in a document only while they are its status: what one bridge dropped, another may have sent."""
_STATUS_OF_EVENT = {
    "command_sent": "sent",
    "command_expired": "expired",
    "command_refused": "refused",
    "command_failed": "failed",
    "command_acknowledged": "acked",
}
_DEPLOYMENT_KEY = "type/"
_ID_LENGTH = 128


@dataclass(slots=True)
class Step:
    """Changes of one collection that may be applied at once: deletions first, then upserts of other documents."""

    collection: Collection
    deleted: list[str] = field(default_factory=list)
    upserted: list[Document] = field(default_factory=list)
    upserted_ids: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Deletion:
    id: str


class _CommandReference(msgspec.Struct):
    """What the events about a command say in `data`.

    Attributes:
        at_ns: When it happened; None where that is the event time.
        reason: Why it was refused or failed.
    """

    id: str
    at_ns: int | None = None
    reason: str = ""


def project(records: Iterable[LogRecord]) -> tuple[list[Step], list[Refusal]]:
    """Steps to apply one after another, and records that can't be read."""
    steps: dict[Collection, list[Step]] = {}
    refusals = []
    for record in records:
        try:
            changed = _change(record)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
            refusals.append(Refusal(position_of(record), b"", f"not what this topic holds: {error}"))
            continue
        if changed is not None:
            collection, change = changed
            _append(steps.setdefault(collection, [Step(collection)]), change)
    return [step for of_collection in steps.values() for step in of_collection], refusals


def _append(steps: list[Step], change: Document | _Deletion) -> None:
    """Add to the last step what can be done in it, keeping the order of changes of one document."""
    last = steps[-1]
    if isinstance(change, Document):
        last.upserted.append(change)
        last.upserted_ids.add(change.id)
        return
    if change.id in last.upserted_ids:
        last = Step(last.collection)
        steps.append(last)
    last.deleted.append(change.id)


def _change(record: LogRecord) -> tuple[Collection, Document | _Deletion] | None:
    key = (record.key or b"").decode()
    if record.topic == DEFINITIONS:
        return _of_type(record, key)
    kind = record.topic.rpartition(".")[2]
    if kind == "metadata":
        return Collection.TWINS, _of_twin(record, f"{type_of_topic(record.topic)}/{key}")
    if record.value is None:
        return None
    change = _of_command(record) if kind == "commands" else _of_event(record, record.value)
    return None if change is None else (Collection.COMMANDS, change)


def _of_type(record: LogRecord, key: str) -> tuple[Collection, Document | _Deletion] | None:
    if not key.startswith(_DEPLOYMENT_KEY):
        return None  # a part of a bundle
    name = key.removeprefix(_DEPLOYMENT_KEY)
    if record.value is None:
        return Collection.TYPES, _Deletion(name)
    deployment = msgspec.json.decode(record.value, type=Deployment)
    newest = {"id": name, **_plain(deployment)}
    # Clocks of those who deploy may differ; the order of the log is the order of deployments.
    return Collection.TYPES, Document(id=name, revision=record.offset, newest=newest, position=position_of(record))


def _of_twin(record: LogRecord, document_id: str) -> Document | _Deletion:
    if record.value is None:
        return _Deletion(document_id)
    document = msgspec.json.decode(record.value, type=TwinDocument)
    return Document(id=document_id, revision=document.revision, newest=_plain(document), position=position_of(record))


def _of_command(record: LogRecord) -> Document:
    command = msgspec.json.decode(record.value or b"", type=Command)
    refused = {} if command.status == "issued" else {"refused_ns": command.issued_ns, "reason": command.reason}
    return Document(
        id=_command_key(record, command, command.id),
        revision=STATUS_RANK[command.status],
        newest={"status": command.status, **refused},
        fixed=_plain(msgspec.structs.replace(command, status="issued", reason="")),
        position=position_of(record),
    )


def _of_event(record: LogRecord, value: bytes) -> Document | None:
    event = msgspec.json.decode(value, type=Event)
    status = _STATUS_OF_EVENT.get(event.name)
    if status is None:
        return None
    about = msgspec.convert(event.data, type=_CommandReference)
    at_ns = event.event_time_ns if about.at_ns is None else about.at_ns
    weaker = {f"{failure}_ns": None for failure in _FAILURES if STATUS_RANK[failure] < STATUS_RANK[status]}
    reason = about.reason[:TEXT_LIMIT] if status in _FAILURES and about.reason else None
    time = {f"{status}_ns": at_ns}
    return Document(
        id=_command_key(record, event, about.id),
        revision=STATUS_RANK[status],
        newest={"status": status, "reason": reason, **weaker, **(time if status in _FAILURES else {})},
        fixed={} if status in _FAILURES else time,
        position=position_of(record),
    )


def _command_key(record: LogRecord, message: Command | Event, command_id: str) -> str:
    type_name = type_of_topic(record.topic)
    if message.type != type_name:
        raise ValueError(f"type {message.type[:TEXT_LIMIT]} in a topic of {type_name}")
    if len(command_id) > _ID_LENGTH:
        raise ValueError(f"a command's id has at most {_ID_LENGTH} characters")
    return f"{type_name}/{check_twin_id(message.twin)}/{command_id}"


def _plain(message: msgspec.Struct) -> dict[str, Any]:
    return dict(msgspec.to_builtins(message))


def position_of(record: LogRecord) -> LogPosition:
    """Where a record stands in the log."""
    return LogPosition(record.topic, record.partition, record.offset)
