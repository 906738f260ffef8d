"""What an address on a broker means: which twin, and what kind of record. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from connectors.inbound import InboundRoute, default_inbound, grammar_faults, own_filters, own_pattern
from connectors.patterns import AMQP, DEVICES_EXCHANGE, EXCHANGE, Dialect, Pattern
from schemas.headers import Kind
from schemas.names import check_field, check_twin_id, parse_type
from schemas.reasons import Reason

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
        kind: What it was to be; telemetry when that can't be told.
    """

    reason: Reason
    detail: str
    type: str = ""
    twin: str = ""
    kind: Kind = Kind.TELEMETRY


@dataclass(frozen=True, slots=True)
class Echo:
    """One of our own commands or events, which our subscription covers too: nothing to do."""


Resolution = Target | Refusal | Echo


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
        type_faults, twin_faults = grammar_faults(parse_type, type_name), grammar_faults(check_twin_id, twin)
        faults = type_faults + twin_faults
        for key, text in named.items():
            faults += grammar_faults(check_field, text, key)
        if faults:
            detail = "; ".join(faults)
            known = "" if type_faults else type_name, "" if twin_faults else twin
            return Refusal(Reason.INVALID_NAME, detail, *known, Kind(route.kind))
        return Target(type_name, twin, Kind(route.kind), named.get("name", ""), named.get("field", ""))


class Routes:
    """The inbound routes of one broker; the first that matches counts, the default ones come last.

    Args:
        inbound: Those of the configuration.
        dialect: Of the broker's addresses.
        default_routes: Whether those below `twins` are there.
        types: What to ask the broker for below `twins`; empty for everything. What comes of other types all the same,
            because a session or a queue remembers an earlier subscription, is taken in like the rest: nobody else may
            have it.
    """

    def __init__(
        self, inbound: Iterable[InboundRoute], dialect: Dialect, *, default_routes: bool, types: Sequence[str] = ()
    ) -> None:
        routes = [_Route(getattr(route, "exchange", ""), route.pattern, route) for route in inbound]
        self._own = (EXCHANGE, DEVICES_EXCHANGE) if dialect is AMQP else ("",)
        self._wanted = [(route.exchange, route.pattern) for route in routes]
        self._everything = own_filters(dialect)[0]
        if default_routes:
            routes += [_Route(own, route.pattern, route) for own in self._own for route in default_inbound(dialect)]
            echoes = [own_pattern(dialect, kind, "{name}") for kind in ("commands", "events")]
            routes += [_Route(self._own[0], pattern, None) for pattern in echoes]
            self._wanted += [(own, pattern) for own in self._own for pattern in own_filters(dialect, types)]
        self._routes = routes
        self._known: dict[tuple[str, str], Resolution] = {}

    def subscriptions(self) -> list[tuple[str, str]]:
        """What to ask the broker for, as (exchange, filter); the exchange is `""` for MQTT.

        A filter that another covers is left out, because a broker may deliver a message once for each that matches.
        """
        kept: list[tuple[str, Pattern]] = []
        for exchange, pattern in self._wanted:
            if not any(other == exchange and wide.covers(pattern) for other, wide in kept):
                kept = [(other, narrow) for other, narrow in kept if other != exchange or not pattern.covers(narrow)]
                kept.append((exchange, pattern))
        return [(exchange, pattern.filter) for exchange, pattern in kept]

    def left_behind(self) -> list[tuple[str, str]]:
        """What an earlier configuration asked for, a session or a queue remembers, and we don't want any more."""
        wanted = self.subscriptions()
        return [one for own in self._own if (one := (own, self._everything.filter)) not in wanted]

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
