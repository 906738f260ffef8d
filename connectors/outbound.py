"""Outbound routes: where a command or an event goes, and what it looks like there.

Everything here is pure; the models are parts of the configuration file.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, model_validator

from connectors.patterns import AMQP, EXCHANGE, MQTT, REST, ROOT, Dialect
from schemas.errors import InvalidNameError
from schemas.messages import Command, Event, encode
from schemas.names import check_field, check_twin_id, parse_type

_PART = re.compile(r"\{([a-z_]+)\}")
_ADDRESS_PARTS = ("type", "id", "name")
_FIELDS = {
    # A command that leaves is an issued one.
    "command": frozenset(field.name for field in msgspec.structs.fields(Command)) - {"status", "reason"},
    "event": frozenset(field.name for field in msgspec.structs.fields(Event)),
}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message ready to leave.

    Attributes:
        exchange: AMQP exchange; `""` for MQTT.
        address: Topic or routing key.
        payload: Its body.
    """

    exchange: str
    address: str
    payload: bytes


class OutboundRoute(BaseModel):
    """Commands or events to send out; each that matches several routes leaves by all of them.

    Attributes:
        kind: Which of the two.
        type: Only of this qualified type name; `""` for all.
        id: Only of this twin; `""` for all.
        name: Only those of this name; `""` for all.
        payload: None sends the object itself. Otherwise a template in which `{value}`, or any other field of the
            object, is replaced: a string that is nothing but `{field}` by the field's JSON value, elsewhere by its
            text. A template that is a string altogether is sent as plain text, anything else as JSON.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    dialect: ClassVar[Dialect]

    kind: Literal["command", "event"] = "command"
    type: str = ""
    id: str = ""
    name: str = ""
    payload: Any = None

    @property
    def address(self) -> str:
        """Template of the topic or routing key, with `{type}`, `{id}` and `{name}`."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _check(self) -> Self:
        dialect = self.dialect
        faults = [] if self.address else ["the address must not be empty"]
        unknown = sorted(set(_PART.findall(self.address)) - set(_ADDRESS_PARTS))
        faults += [f"{self.address!r}: {{{part}}} is not among {{id}}, {{name}}, {{type}}" for part in unknown]
        if dialect.rest_is_last and {dialect.one, REST} & set(self.address):
            faults.append(f"{self.address!r}: one can't publish to a wildcard")
        unknown = sorted(set(_parts(self.payload)) - _FIELDS[self.kind])
        faults += [f"payload: {{{part}}} is no field of a {self.kind}" for part in unknown]
        checks = ((parse_type, self.type), (check_twin_id, self.id), (check_field, self.name))
        for check, text in checks:
            try:
                if text:
                    check(text)
            except InvalidNameError as error:
                faults.append(str(error))
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def takes(self, message: Command | Event) -> bool:
        """Whether `message` leaves by this route."""
        return (
            (self.kind == "command") is isinstance(message, Command)
            and self.type in ("", message.type)
            and self.id in ("", message.twin)
            and self.name in ("", message.name)
        )

    def render(self, message: Command | Event) -> Rendered:
        """`message` as it leaves by this route."""
        parts = {"type": message.type, "id": message.twin, "name": message.name}
        address = _PART.sub(lambda match: parts[match[1]], self.address)
        return Rendered(getattr(self, "exchange", ""), address, self._payload(message))

    def _payload(self, message: Command | Event) -> bytes:
        if self.payload is None:
            return encode(message)
        filled = _fill(self.payload, msgspec.to_builtins(message))
        plain = isinstance(self.payload, str) and isinstance(filled, str)
        return filled.encode() if plain else msgspec.json.encode(filled)


class MqttOutbound(OutboundRoute):
    """Outbound route of MQTT.

    Attributes:
        topic: Template of the topic.
    """

    dialect = MQTT
    topic: str

    @property
    def address(self) -> str:
        """Template of the topic."""
        return self.topic


class AmqpOutbound(OutboundRoute):
    """Outbound route of AMQP.

    Attributes:
        exchange: Where to publish; `""` is the broker's default exchange, whose routing keys are names of queues.
        key: Template of the routing key.
    """

    dialect = AMQP
    exchange: str = EXCHANGE
    key: str

    @property
    def address(self) -> str:
        """Template of the routing key."""
        return self.key


def outbound_routes(
    configured: Iterable[OutboundRoute], dialect: Dialect, *, default_routes: bool
) -> list[OutboundRoute]:
    """The configured routes, and the default ones: everything, below `twins`."""
    routes = list(configured)
    if default_routes:
        model = AmqpOutbound if dialect is AMQP else MqttOutbound
        key = "key" if dialect is AMQP else "topic"
        for kind in ("command", "event"):
            address = dialect.separator.join((ROOT, "{type}", "{id}", f"{kind}s", "{name}"))
            routes.append(model.model_validate({"kind": kind, key: address}))
    return routes


def _parts(template: Any) -> list[str]:  # noqa: ANN401 - any JSON value
    if isinstance(template, str):
        return _PART.findall(template)
    below = template.values() if isinstance(template, dict) else template if isinstance(template, list | tuple) else ()
    return [part for item in below for part in _parts(item)]


def _fill(template: Any, fields: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(template, dict):
        return {key: _fill(item, fields) for key, item in template.items()}
    if isinstance(template, list | tuple):
        return [_fill(item, fields) for item in template]
    if not isinstance(template, str):
        return template
    if whole := _PART.fullmatch(template):
        return fields[whole[1]]
    return _PART.sub(lambda match: _text(fields[match[1]]), template)


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
