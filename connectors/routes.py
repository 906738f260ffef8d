"""Inbound routes: which twin, and what kind of record, an address on a broker means.

Everything here is pure; the models are parts of the configuration file.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from connectors.patterns import AMQP, MQTT, Dialect, Pattern
from schemas.errors import InvalidNameError
from schemas.headers import Kind
from schemas.names import check_field, check_twin_id, parse_type
from schemas.reasons import Reason

ROOT = "twins"
"""First word of every address of our own."""

EXCHANGE = "twinstream"
"""Our own AMQP exchange."""

_KNOWN_ADDRESSES = 65_536


@dataclass(frozen=True, slots=True)
class Target:
    """What an inbound message is for.

    Attributes:
        type: Qualified type name.
        name: Request or command name, `""` for telemetry.
        field: Where the payload is one bare value: the field it becomes, else `""`.
    """

    type: str
    twin: str
    kind: Kind
    name: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an address means nothing: a dead letter.

    Attributes:
        type: Qualified type name, `""` when even that can't be told.
        twin: Twin id, `""` when it can't be told.
    """

    reason: Reason
    detail: str
    type: str = ""
    twin: str = ""


@dataclass(frozen=True, slots=True)
class Echo:
    """One of our own commands or events, which our subscription covers too: nothing to do."""


Resolution = Target | Refusal | Echo


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
            faults += _faults(check, text) if text else []
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


@dataclass(frozen=True, slots=True)
class _Route:
    exchange: str
    pattern: Pattern
    route: InboundRoute | None

    def resolve(self, parts: dict[str, str]) -> Resolution:
        if self.route is None:
            return Echo()
        route = self.route
        type_name = route.type or parts["type"]
        twin = route.id or parts["id"]
        named = {
            key: getattr(route, key) or parts[key] for key in ("name", "field") if getattr(route, key) or key in parts
        }
        type_faults, twin_faults = _faults(parse_type, type_name), _faults(check_twin_id, twin)
        faults = type_faults + twin_faults
        for key, text in named.items():
            faults += _faults(check_field, text, key)
        if faults:
            detail = "; ".join(faults)
            return Refusal(Reason.INVALID_NAME, detail, "" if type_faults else type_name, "" if twin_faults else twin)
        return Target(type_name, twin, Kind(route.kind), named.get("name", ""), named.get("field", ""))


class Routes:
    """The inbound routes of one broker; the first that matches counts, the default ones come last."""

    def __init__(self, inbound: Iterable[InboundRoute], dialect: Dialect, *, default_routes: bool) -> None:
        routes = [_Route(getattr(route, "exchange", ""), route.pattern, route) for route in inbound]
        self._own = EXCHANGE if dialect is AMQP else ""
        if default_routes:
            routes += [_Route(self._own, route.pattern, route) for route in _default_inbound(dialect)]
            routes += [
                _Route(self._own, _own_pattern(dialect, kind, "{name}"), None) for kind in ("commands", "events")
            ]
        self._routes = routes
        self._dialect = dialect
        self._default_routes = default_routes
        self._known: dict[tuple[str, str], Resolution] = {}

    def subscriptions(self) -> list[tuple[str, str]]:
        """What to ask the broker for, as (exchange, filter); the exchange is `""` for MQTT.

        With the default routes this is all below `twins`, not only what they name: a misspelt topic of a device
        must end among the dead letters and not in silence. A filter that another covers is left out, because a
        broker may deliver a message once for each that matches.
        """
        wanted = [(route.exchange, route.pattern) for route in self._routes]
        if self._default_routes:
            everything = self._dialect.separator.join((ROOT, "#"))
            wanted.append((self._own, Pattern.parse(everything, self._dialect, ())))
        kept: list[tuple[str, Pattern]] = []
        for exchange, pattern in wanted:
            if not any(other == exchange and wide.covers(pattern) for other, wide in kept):
                kept = [(other, narrow) for other, narrow in kept if other != exchange or not pattern.covers(narrow)]
                kept.append((exchange, pattern))
        return [(exchange, pattern.filter) for exchange, pattern in kept]

    def resolve(self, address: str, exchange: str = "") -> Resolution:
        """What a message at `address` means."""
        key = (exchange, address)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _KNOWN_ADDRESSES:
                self._known.clear()
            known = self._known[key] = self._resolve(address, exchange)
        return known

    def _resolve(self, address: str, exchange: str) -> Resolution:
        for route in self._routes:
            if route.exchange == exchange and (parts := route.pattern.match(address)) is not None:
                return route.resolve(parts)
        return Refusal(Reason.INVALID_NAME, f"no inbound route matches {address[:200]!a}")


def overlap_faults(routes: Iterable[MqttInbound], *, default_routes: bool) -> list[str]:
    """Pairs of MQTT filters of which neither covers the other: a message on both might be delivered twice."""
    patterns = [(route.topic, route.pattern) for route in routes]
    if default_routes:
        patterns.append((f"{ROOT}/#", Pattern.parse(f"{ROOT}/#", MQTT, ())))
    return [
        f"inbound topics {first!r} and {second!r} overlap: a message on both would be taken in twice; narrow one"
        for index, (first, a) in enumerate(patterns)
        for second, b in patterns[index + 1 :]
        if a.overlaps(b) and not a.covers(b) and not b.covers(a)
    ]


def _default_inbound(dialect: Dialect) -> list[InboundRoute]:
    model = AmqpInbound if dialect is AMQP else MqttInbound
    key = "key" if dialect is AMQP else "topic"
    kinds = {Kind.TELEMETRY: ("telemetry",), Kind.REQUEST: ("requests", "{name}"), Kind.ACK: ("acks", "{name}")}
    return [
        model.model_validate({key: _own_pattern(dialect, *words).text, "kind": kind.value})
        for kind, words in kinds.items()
    ]


def _own_pattern(dialect: Dialect, *words: str) -> Pattern:
    return Pattern(dialect, (ROOT, "{type}", "{id}", *words))


def _faults(check: Callable[..., object], *arguments: str) -> list[str]:
    """What `check` finds outside the grammar."""
    try:
        check(*arguments)
    except InvalidNameError as error:
        return [str(error)]
    return []
