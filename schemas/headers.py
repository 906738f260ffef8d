"""Headers of records in a type's input topic and, `ts-status`, in `.commands`.

A record of the input without `ts-kind` is telemetry; unknown headers never change the kind.
"""

from enum import StrEnum

KIND = "ts-kind"
RECEIVED = "ts-received"
SOURCE = "ts-source"
NAME = "ts-name"
ID = "ts-id"
HOPS = "ts-hops"
"""How often what a record says went from twin to twin, in digits; absent: it comes from a device."""
HOPS_LIMIT = 8
"""A record that went so far is refused."""
CAUSE = "ts-cause"
"""Topic, partition and offset, with slashes between them, of the record that a routed one follows from."""
REDRIVE = "ts-redrive"
"""Of a record that was a dead letter and is sent once more: the letter's id."""
LETTER = "ts-letter"
"""Of a record among the dead letters that is none, but tells what became of the letter with this id."""
SEQ = "seq"
"""A device's own counter, in digits, of a record whose payload does not show it."""
BOOT = "boot"
"""The device's boot, likewise."""
COUNTED = "ts-counted"
"""Of a note about a telemetry record: it lay in a partition where its twin is not, and was counted there."""
UNKNOWN = "ts-unknown"
"""Of a dead letter of a bridge: telemetry of which no type's input topic has a note, since no type is deployed."""
TRACEPARENT = "traceparent"
"""Which trace a record belongs to, as `schemas.trace` reads it; of whatever follows from such a record, too."""
STATUS = "ts-status"
"""Of a record of `.commands`: `refused` when it is none that may leave; absent when it is."""

Headers = list[tuple[str, bytes]]


class Kind(StrEnum):
    """Kinds of records in the input topic."""

    TELEMETRY = "telemetry"
    REQUEST = "request"
    PARAMETERS = "parameters"
    ACK = "ack"
    TICK = "tick"
    SWITCH = "switch"
    REFUSED = "refused"
    """A note for the loss account: telemetry that lies among the dead letters, and not here."""


def input_headers(
    *, received_ns: int, source: str, kind: Kind = Kind.TELEMETRY, name: str = "", record_id: str = ""
) -> Headers:
    """Build the headers that a bridge or the API writes.

    Args:
        received_ns: Arrival, UTC nanoseconds; fixed here once so that a replay sees the same.
        source: `mqtt:` + topic, `amqp:` + exchange + `/` + routing key, or `http:` + path.
        kind: What the record is.
        name: Request or command name, for `REQUEST` and `ACK`.
        record_id: Id under which the outcome is reported, for `REQUEST` and `PARAMETERS`.
    """
    headers: Headers = [(RECEIVED, b"%d" % received_ns), (SOURCE, source.encode())]
    if kind is not Kind.TELEMETRY:
        headers.append((KIND, kind.value.encode()))
    if name:
        headers.append((NAME, name.encode()))
    if record_id:
        headers.append((ID, record_id.encode()))
    return headers
