"""All topics as an AsyncAPI 3 document, made from the code: `docs/asyncapi.yaml`."""

from typing import Any

import msgspec
import yaml

from infra import VERSION
from infra.access.audit import Entry
from infra.access.tokens import Token
from schemas import headers, topics
from schemas.account import Figures
from schemas.deployment import Deployment, HistoryItem, Report, Switch
from schemas.messages import Command, DeadLetter, Event, LetterNote, TwinDocument

_TYPE = "{type}"
_JSON, _BINARY, _TEXT = "application/json", "application/octet-stream", "text/plain"
_STRUCTS = (
    *(Command, DeadLetter, Deployment, Entry, Event, Figures),
    *(HistoryItem, LetterNote, Report, Switch, Token, TwinDocument),
)
_HEADERS = {
    headers.KIND: "What the record is; absent: telemetry.",
    headers.RECEIVED: "Arrival, UTC nanoseconds in digits.",
    headers.SOURCE: "Where it came from: `mqtt:`, `amqp:`, `http:` or `kafka:` and where in it.",
    headers.NAME: "Name of the request or command.",
    headers.ID: "Under which the outcome is reported.",
    headers.HOPS: "How often what it says went from twin to twin, in digits.",
    headers.CAUSE: "Topic, partition and offset of the record that a routed one follows from.",
    headers.REDRIVE: "Id of the dead letter that is sent once more.",
    headers.TRACEPARENT: "Trace that it belongs to, as W3C Trace Context has it.",
}
_HEAD = "# Made by `python -m infra.authoring.reference docs`: edit infra/authoring/asyncapi.py and schemas/.\n"

_Message = tuple[str, str, str, Any]
"""Name, what it is, media type, and its schema: a struct, a dictionary, or None for bytes."""


def asyncapi_text() -> str:
    """The document as YAML."""
    return _HEAD + yaml.safe_dump(document(), sort_keys=False, width=120, allow_unicode=True)


def document() -> dict[str, Any]:
    """The document."""
    _, schemas = msgspec.json.schema_components(_STRUCTS, ref_template="#/components/schemas/{name}")
    channels, operations, messages = {}, {}, {}
    for address, (action, key, described) in _channels().items():
        name = address.replace(_TYPE, "type").removeprefix("twinstream.").replace(".", "_")
        for message, title, media_type, schema in described:
            messages[message] = _message(title, media_type, schema, key, address)
        channels[name] = {
            "address": address,
            "description": _kept(address),
            "messages": {one[0]: {"$ref": f"#/components/messages/{one[0]}"} for one in described},
            "bindings": {"kafka": {"topic": address, "bindingVersion": "0.5.0"}} if _TYPE not in address else {},
        }
        if _TYPE in address:
            channels[name]["parameters"] = {"type": {"$ref": "#/components/parameters/type"}}
        operations[f"{action}_{name}"] = {"action": action, "channel": {"$ref": f"#/channels/{name}"}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "twinstream",
            "version": VERSION,
            "description": "Topics in Kafka. Readers must read committed records only; topics.md says more of each.",
        },
        "defaultContentType": _JSON,
        "servers": {"kafka": {"host": "127.0.0.1:9092", "protocol": "kafka", "description": "The embedded Kafka."}},
        "channels": channels,
        "operations": operations,
        "components": {
            "parameters": {"type": {"description": "Qualified name of a twin type."}},
            "messages": messages,
            "schemas": schemas,
        },
    }


def _channels() -> dict[str, tuple[str, str, list[_Message]]]:
    """By address: what twinstream does there, what the key is, and the messages."""
    of = topics.TypeTopics(_TYPE)
    twin = "twin id"
    anything = {"type": "object"}
    inputs: list[_Message] = [
        ("telemetry", "What a device sent, as it sent it: JSON or line protocol", _BINARY, None),
        ("request", "Arguments of a request", _JSON, anything),
        ("parameters", "New values of parameters and tags", _JSON, _object(parameters=anything, tags=_object())),
        ("ack", "A device's acknowledgement of a command", _JSON, _object(id={"type": "string"})),
        ("tick", "Time goes by for all twins of the partition", _JSON, _object(time_ns={"type": "integer"})),
        ("switch", "From here on the partition is under another version", _JSON, Switch),
        ("refused", "A note for the loss account", _JSON, {}),
    ]
    account = _object(source={"type": "string"}, type={"type": "string"}, time_ns={"type": "integer"})
    line = _object(**{name: {"type": "string"} for name in ("event", "level", "logger", "time", "role")})
    return {
        of.telemetry: ("receive", twin, inputs),
        of.commands: ("send", twin, [("command", "An order to a device, or one that was refused", _JSON, Command)]),
        of.events: ("send", twin, [("event", "Something that happened to a twin", _JSON, Event)]),
        of.timeseries: ("send", "none", [("lines", "Line protocol, many lines", _TEXT, {"type": "string"})]),
        of.metadata: ("send", twin, [("document", "Who and what a twin is", _JSON, TwinDocument)]),
        of.state: ("send", twin, [("row", "The latest row of a twin", _BINARY, None)]),
        topics.DEFINITIONS: (
            "receive",
            "`bundle/…`, `type/…`, `candidate/…`, `report/…`, `history/…` or `undeployed/…`",
            [
                ("chunk", "A part of a bundle", _BINARY, None),
                ("deployment", "Which bundle is in force", _JSON, Deployment),
                ("report", "What a worker made of a candidate", _JSON, Report),
                ("history", "A switch that was made", _JSON, HistoryItem),
            ],
        ),
        topics.DEADLETTER: (
            "send",
            "twin id, or none",
            [
                ("dead_letter", "A record that could not be used", _JSON, DeadLetter),
                ("letter_note", "What became of a letter", _JSON, LetterNote),
            ],
        ),
        topics.ACCOUNT: (
            "send",
            "`{type}/{source}`",
            [("account", "A row of the loss account", _JSON, {"allOf": [account, _reference(Figures)]})],
        ),
        topics.TOKENS: ("send", "id of the token", [("token", "An API token, its hash alone", _JSON, Token)]),
        topics.AUDIT: ("send", "id of the entry", [("entry", "A change, or one that was tried", _JSON, Entry)]),
        topics.LOGS: ("send", "name of the role", [("line", "A log line", _JSON, line)]),
    }


def _message(title: str, media_type: str, schema: Any, key: str, address: str) -> dict[str, Any]:  # noqa: ANN401
    message: dict[str, Any] = {"title": title, "contentType": media_type}
    if schema is not None:
        message["payload"] = schema if isinstance(schema, dict) else _reference(schema)
    message["bindings"] = {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}}
    if address.endswith(".telemetry"):
        names: dict[str, dict[str, Any]] = {
            name: {"type": "string", "description": text} for name, text in _HEADERS.items()
        }
        names[headers.KIND]["enum"] = [str(kind) for kind in headers.Kind]
        message["headers"] = _object(**names)
    return message


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties} if properties else {"type": "object"}


def _reference(struct: Any) -> dict[str, str]:  # noqa: ANN401
    return {"$ref": f"#/components/schemas/{struct.__name__}"}


def _kept(address: str) -> str:
    config = topics.topic_config(address)
    if config["cleanup.policy"] == "compact":
        return "Kept: the last record of each key."
    kept = config["retention.ms"]
    return "Kept: without limit, unless `kafka.retention_ms` sets one." if kept == "-1" else f"Kept: {kept} ms."
