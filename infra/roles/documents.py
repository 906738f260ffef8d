"""What records mean for documents: pure."""

from typing import Any, NamedTuple

import msgspec

from connectors.stores import Collection, Document, LogPosition
from schemas.bundle import Deployment
from schemas.messages import Command, Event, TwinDocument
from schemas.topics import DEFINITIONS, type_of_topic
from streams.log.record import LogRecord

STATUS_BY_EVENT = {
    "command_expired": "expired",
    "command_sent": "sent",
    "command_acknowledged": "acked",
}
REFUSED = "refused"
STATUS_RANK = {"issued": 0, "expired": 1, "sent": 2, REFUSED: 3, "acked": 4}
"""A status is replaced by one of higher rank only, so that the order in which topics are read does not matter.

Two bridges may report about one command: where one sent it, it was sent, although it had expired for the other.
"""


class Change(NamedTuple):
    """What a record does to a document.

    Attributes:
        document: The change, None to delete it.
    """

    collection: Collection
    id: str
    position: LogPosition
    document: Document | None


def change_of(record: LogRecord) -> Change | None:
    """What a record changes, None for nothing.

    Raises:
        ValueError: it is not what its topic says.
    """
    position = LogPosition(record.topic, record.partition, record.offset)
    if record.topic == DEFINITIONS:
        return _definition(record, position)
    kind = record.topic.rpartition(".")[2]
    reading = {"metadata": _twin, "commands": _command, "events": _event}[kind]
    return reading(record, position)


def _definition(record: LogRecord, position: LogPosition) -> Change | None:
    kind, _, name = (record.key or b"").decode().partition("/")
    if kind != "type":
        return None
    if record.value is None:
        return Change(Collection.TYPES, name, position, None)
    deployment = msgspec.json.decode(record.value, type=Deployment)
    newest = {
        "version": deployment.version,
        "hash": deployment.hash,
        "deployed": deployment.deployed,
        "deployed_ns": deployment.time_ns,
    }
    fixed = {"id": name, "type": deployment.type, "project": deployment.project}
    return _upsert(Collection.TYPES, name, deployment.time_ns, newest, fixed, position)


def _twin(record: LogRecord, position: LogPosition) -> Change:
    twin = (record.key or b"").decode()
    key = f"{type_of_topic(record.topic)}/{twin}"
    if record.value is None:
        return Change(Collection.TWINS, key, position, None)
    found = msgspec.json.decode(record.value, type=TwinDocument)
    newest: dict[str, Any] = msgspec.to_builtins(found)
    revision = newest.pop("revision")
    fixed = {name: newest.pop(name) for name in ("id", "type", "project")}
    return _upsert(Collection.TWINS, key, revision, newest, fixed, position)


def _command(record: LogRecord, position: LogPosition) -> Change | None:
    if record.value is None:
        return None
    fixed: dict[str, Any] = msgspec.to_builtins(msgspec.json.decode(record.value, type=Command))
    return _status("issued", fixed["id"], fixed, {}, position)


def _event(record: LogRecord, position: LogPosition) -> Change | None:
    if record.value is None:
        return None
    event = msgspec.json.decode(record.value, type=Event)
    about = {"type": event.type, "twin": event.twin}
    if event.name == "command_refused":
        # It never was a command on the log: the event is all there is of it.
        fixed = about | {
            "id": event.id,
            "name": event.data.get("name"),
            "value": event.data.get("value"),
            "issued_ns": event.event_time_ns,
            "cause": msgspec.to_builtins(event.cause),
        }
        return _status(REFUSED, event.id, fixed, {"reason": event.data.get("reason")}, position)
    status = STATUS_BY_EVENT.get(event.name)
    command = event.data.get("id")
    if status is None or not isinstance(command, str) or not command:
        return None
    return _status(status, command, about | {"id": command}, {}, position)


def _status(status: str, command: str, fixed: dict[str, Any], newest: dict[str, Any], position: LogPosition) -> Change:
    newest = newest | {"status": status}
    return _upsert(Collection.COMMANDS, command, STATUS_RANK[status], newest, fixed, position)


def _upsert(
    collection: Collection,
    document_id: str,
    revision: int,
    newest: dict[str, Any],
    fixed: dict[str, Any],
    position: LogPosition,
) -> Change:
    document = Document(id=document_id, revision=revision, newest=newest, fixed=fixed, position=position)
    return Change(collection, document_id, position, document)


def runs(changes: list[Change]) -> list[list[Change]]:
    """Changes cut so that each run is of one collection and either deletes or does not; each document's in order."""
    found: list[list[Change]] = []
    open_runs: dict[Collection, list[Change]] = {}
    for change in changes:
        run = open_runs.get(change.collection)
        if run is None or (run[0].document is None) != (change.document is None):
            run = open_runs[change.collection] = []
            found.append(run)
        run.append(change)
    return found
