"""Inbound routes: which messages a bridge takes in, and how their addresses are to be read.

Everything here is pure; the models are parts of the configuration file.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from connectors.patterns import AMQP, EXCHANGE, MQTT, REST, ROOT, Dialect, Pattern
from schemas.errors import InvalidNameError
from schemas.headers import Kind
from schemas.names import check_field, check_twin_id, parse_type


class InboundRoute(BaseModel):
    """Messages to take in; the address says for whom, or the fixed fields do.

    Attributes:
        type: Fixed qualified type name, where the address has no `{type}`.
        id: Fixed twin id, where the address has no `{id}`.
        kind: What the messages are.
        name: Fixed request or command name, where the address has no `{name}`.
        format: `auto`: one of the three telemetry formats, a request's JSON object, or an acknowledgement.
            `value`: one bare JSON value, or an object with one field only, becomes `{"<field>": value}`.
        field: Fixed field for `format: value`, where the address has no `{field}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    dialect: ClassVar[Dialect]

    type: str = ""
    id: str = ""
    kind: Literal["telemetry", "request", "ack"] = "telemetry"
    name: str = ""
    format: Literal["auto", "value"] = "auto"
    field: str = ""

    @property
    def address(self) -> str:
        """The configured topic filter or binding key."""
        raise NotImplementedError

    @property
    def pattern(self) -> Pattern:
        """The address as a pattern."""
        return Pattern.parse(self.address, self.dialect, ("type", "id", "name", "field"))

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            parts = self.pattern.parts
        except ValueError as error:
            raise ValueError(*error.args) from None
        named = self.kind != "telemetry"
        value = self.format == "value"
        wanted = {"type": True, "id": True, "name": named, "field": value}
        when = {"name": f"kind {self.kind}", "field": f"format {self.format}"}
        faults = []
        for key, needed in wanted.items():
            fixed = getattr(self, key)
            context = f" with {when[key]}" if key in when else ""
            if fixed and key in parts:
                faults.append(f"{key} is both fixed and a part of the address: keep one")
            elif needed and not fixed and key not in parts:
                faults.append(f"{key} is missing{context}: fix it, or name a part of the address {{{key}}}")
            elif not needed and (fixed or key in parts):
                faults.append(f"{key} means nothing{context}: remove it")
        checks = (
            (parse_type, self.type),
            (check_twin_id, self.id),
            (check_field, self.name),
            (check_field, self.field),
        )
        for check, text in checks:
            faults += grammar_faults(check, text) if text else []
        if faults:
            raise ValueError("; ".join(faults))
        return self


class MqttInbound(InboundRoute):
    """Inbound route of MQTT.

    Attributes:
        topic: Topic filter, with `{type}`, `{id}`, `{name}`, `{field}` as named parts.
    """

    dialect = MQTT
    topic: str

    @property
    def address(self) -> str:
        """The topic filter."""
        return self.topic


class AmqpInbound(InboundRoute):
    """Inbound route of AMQP.

    Attributes:
        exchange: Exchange to bind our queue to.
        key: Binding key, with `{type}`, `{id}`, `{name}`, `{field}` as named parts.
    """

    dialect = AMQP
    exchange: str = EXCHANGE
    key: str

    @property
    def address(self) -> str:
        """The binding key."""
        return self.key


def overlap_faults(routes: Iterable[MqttInbound], own: Iterable[Pattern]) -> list[str]:
    """Pairs of MQTT filters of which neither covers the other: a message on both might be delivered twice."""
    patterns = [(route.topic, route.pattern) for route in routes] + [(pattern.text, pattern) for pattern in own]
    return [
        f"inbound topics {first!r} and {second!r} overlap: a message on both would be taken in twice; narrow one"
        for index, (first, a) in enumerate(patterns)
        for second, b in patterns[index + 1 :]
        if a.overlaps(b) and not a.covers(b) and not b.covers(a)
    ]


def default_inbound(dialect: Dialect) -> list[InboundRoute]:
    """The routes below `twins`, with the addresses that the documentation gives."""
    model = AmqpInbound if dialect is AMQP else MqttInbound
    key = "key" if dialect is AMQP else "topic"
    kinds = {Kind.TELEMETRY: ("telemetry",), Kind.REQUEST: ("requests", "{name}"), Kind.ACK: ("acks", "{name}")}
    return [
        model.model_validate({key: own_pattern(dialect, *words).text, "kind": kind.value})
        for kind, words in kinds.items()
    ]


def own_filters(dialect: Dialect, types: Sequence[str] = ()) -> list[Pattern]:
    """What the default routes ask a broker for: everything below `twins`, or below these types there.

    All of it and not only what the routes name: a misspelt topic of a device must end among the dead letters and not in
    silence.
    """
    if not types:
        return [Pattern(dialect, (ROOT, REST))]
    return [Pattern(dialect, (ROOT, one, REST)) for one in types]


def own_pattern(dialect: Dialect, *words: str) -> Pattern:
    """An address of our own: the root, type and twin id, and these words."""
    return Pattern(dialect, (ROOT, "{type}", "{id}", *words))


def grammar_faults(check: Callable[..., object], *arguments: str) -> list[str]:
    """What `check` finds outside the grammar."""
    try:
        check(*arguments)
    except InvalidNameError as error:
        return [str(error)]
    return []
