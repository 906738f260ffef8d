"""Commands and events that leave: read from the log, checked, rendered, judged by their time to live. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from connectors.hang_ups import Target
from connectors.outbound import OutboundRoute, Rendered
from connectors.ports import Outgoing, Receipt
from schemas.clock import NS_PER_S
from schemas.errors import InvalidNameError
from schemas.headers import STATUS, TRACEPARENT
from schemas.messages import Command, DeadLetter, Event, dead_letter, stable_id
from schemas.names import check_field, check_twin_id, parse_type
from schemas.reasons import Reason
from schemas.topics import type_of_topic
from schemas.trace import traceparent_of
from streams.log.record import LogRecord

INTERNAL_EVENTS = frozenset({"command_sent", "command_acknowledged"})
"""Events about the delivery of a command; brokers don't get them."""

_SEVERITY = {"command_sent": "info", "command_expired": "warning", "command_refused": "warning"}
_REASON = {"command_refused": "the broker refuses it"}
_TOKEN_LENGTH = 128
"""Most characters of an id or content hash; ours have 32 and 64."""
_UNUSABLE = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError)
"""What reading and writing JSON of others raises: undecodable, nested too deeply, integers beyond 64 bits."""


class Dispatch(msgspec.Struct, frozen=True):
    """A message and what it looks like on each route that takes it, by the route's index; at least one.

    Attributes:
        traceparent: Of the trace that it belongs to, `b""` for none.
    """

    record: LogRecord
    message: Command | Event
    rendered: Mapping[int, Rendered]
    traceparent: bytes = b""

    def targets(self) -> list[Target]:
        """Of each of its messages on the broker."""
        record = (self.record.topic, self.record.partition, self.record.offset)
        return [Target(record, route) for route in self.rendered]

    def apart(self) -> list["Dispatch"]:
        """The same, route by route."""
        return [msgspec.structs.replace(self, rendered={route: one}) for route, one in self.rendered.items()]


class Plan(msgspec.Struct):
    """What a batch of records asks for.

    Attributes:
        dispatches: Messages to publish, in order.
        unusable: Records that can never leave, and why.
    """

    dispatches: list[Dispatch]
    unusable: list[tuple[LogRecord, Reason, str]]


def plan(records: Iterable[LogRecord], routes: Sequence[OutboundRoute]) -> Plan:
    """Decide what leaves; a message that no route takes is not this broker's business."""
    made = Plan([], [])
    for record in records:
        try:
            dispatch = _dispatch(record, routes)
        except InvalidNameError as error:
            made.unusable.append((record, Reason.INVALID_NAME, str(error)))
        except _UNUSABLE as error:
            made.unusable.append((record, Reason.UNDECODABLE, f"{type(error).__name__}: {error}"))
        else:
            if dispatch is not None:
                made.dispatches.append(dispatch)
    return made


def groups(dispatches: Iterable[Dispatch], window: int) -> Iterator[list[Dispatch]]:
    """Cut into runs of at most `window` messages on the broker; the routes of one message stay together."""
    group: list[Dispatch] = []
    size = 0
    for dispatch in dispatches:
        if group and size + len(dispatch.rendered) > window:
            yield group
            group, size = [], 0
        group.append(dispatch)
        size += len(dispatch.rendered)
    if group:
        yield group


def outgoing(dispatches: Iterable[Dispatch], now_ns: int) -> list[Outgoing | None]:
    """What the broker gets, in order; None in place of a command that outlived its time to live."""
    return [
        None
        if isinstance(dispatch.message, Command) and dispatch.message.expires_ns < now_ns
        else Outgoing(
            rendered.exchange,
            rendered.address,
            rendered.payload,
            _left_s(dispatch.message, now_ns),
            dispatch.traceparent,
        )
        for dispatch in dispatches
        for rendered in dispatch.rendered.values()
    ]


def outcomes(
    dispatches: Iterable[Dispatch], receipts: Iterable[Receipt | None], broker: str, at_ns: int
) -> list[Event]:
    """What became of each command at `broker`.

    Args:
        dispatches: Commands and events.
        receipts: One for each message on the broker, None for one that was not handed over.
        broker: Technology of the bridge.
        at_ns: When they were handed over, UTC nanoseconds.

    Returns:
        `command_sent` for a command that the broker took on at least one route, else `command_expired` if its time was
        over on one, else `command_refused`.
    """
    said = iter(receipts)
    events = []
    for dispatch in dispatches:
        of_message = [next(said) for _ in dispatch.rendered]
        if isinstance(dispatch.message, Command):
            if any(receipt not in (None, Receipt.REFUSED) for receipt in of_message):
                name = "command_sent"
            else:
                name = "command_expired" if None in of_message else "command_refused"
            events.append(outcome(dispatch.message, name, broker, at_ns))
    return events


def outcome(command: Command, name: str, broker: str, at_ns: int) -> Event:
    """The event that tells what became of `command`: `command_sent`, `command_expired` or `command_refused`.

    Args:
        command: It.
        name: Which of the three.
        broker: Technology of the bridge that says so; each bridge tells its own.
        at_ns: When it happened, UTC nanoseconds; the event time is that of the command.
    """
    data: dict[str, str | int] = {"id": command.id, "name": command.name, "broker": broker, "at_ns": at_ns}
    if name in _REASON:
        data |= {"reason": _REASON[name]}
    return Event(
        id=stable_id(name.removeprefix("command_"), command.id, broker),
        type=command.type,
        twin=command.twin,
        name=name,
        severity="warning" if _SEVERITY[name] == "warning" else "info",
        event_time_ns=command.issued_ns,
        cause=command.cause,
        data=data,
    )


def letter(record: LogRecord, reason: Reason, detail: str, now_ns: int) -> DeadLetter:
    """The dead letter of a record that can never leave."""
    return dead_letter(
        reason=reason,
        detail=detail,
        source=f"kafka:{record.topic}/{record.partition}/{record.offset}",
        type_name=type_of_topic(record.topic),
        twin=(record.key or b"").decode(errors="replace"),
        received_ns=record.timestamp_ms * 1_000_000 or now_ns,
        raw=record.value or b"",
    )


def _dispatch(record: LogRecord, routes: Sequence[OutboundRoute]) -> Dispatch | None:
    if record.value is None or any(name == STATUS for name, _ in record.headers):
        return None  # nothing, or a command that was refused
    message: Command | Event
    if record.topic.endswith(".commands"):
        message = msgspec.json.decode(record.value, type=Command)
    else:
        message = msgspec.json.decode(record.value, type=Event)
    _check(message, type_of_topic(record.topic))
    if isinstance(message, Command) and message.status != "issued":
        return None
    if isinstance(message, Event) and message.name in INTERNAL_EVENTS:
        return None
    rendered = {index: route.render(message) for index, route in enumerate(routes) if route.takes(message)}
    if not rendered:
        return None
    return Dispatch(record, message, rendered, traceparent_of(record.header(TRACEPARENT)) if record.headers else b"")


def _check(message: Command | Event, type_name: str) -> None:
    """Refuse what would become part of an address, or of an event of ours, and is outside the grammar.

    Raises:
        InvalidNameError: it says what is wrong.
    """
    parse_type(message.type)
    if message.type != type_name:
        raise InvalidNameError(f"type {message.type} in a topic of {type_name}")
    check_twin_id(message.twin)
    check_field(message.name, "name")
    if not 0 < len(message.id) <= _TOKEN_LENGTH or len(message.cause.definition) > _TOKEN_LENGTH:
        raise InvalidNameError(f"id and definition must have at most {_TOKEN_LENGTH} characters")


def _left_s(message: Command | Event, now_ns: int) -> float | None:
    return (message.expires_ns - now_ns) / NS_PER_S if isinstance(message, Command) else None
