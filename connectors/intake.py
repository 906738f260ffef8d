"""What becomes of a delivery: a record in a type's input topic, a dead letter, or nothing. Pure."""

from collections.abc import Callable

import msgspec

from connectors.encodings import unpacked
from connectors.ports import Delivery
from connectors.routes import Echo, Refusal, Routes, Target
from schemas.counters import NO_SEQ, read_counter
from schemas.errors import PayloadError
from schemas.headers import UNKNOWN, Headers, Kind, input_headers
from schemas.messages import dead_letter, encode
from schemas.reasons import Reason
from schemas.topics import DEADLETTER, PAYLOAD_MAX_BYTES, TypeTopics

Counted = tuple[str, str, str]
"""Type, kind and reason: what records are counted by."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A record to write.

    Attributes:
        type: Deployed type that it belongs to, else `""`.
        size: Of the payload, unpacked, in bytes.
        kind: Kind of the record, `""` for a dead letter.
        reason: Reason of a dead letter, else `""`.
        note: To be written, too: of a dead letter the note for the loss account.
    """

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers
    type: str
    size: int
    kind: str = ""
    reason: str = ""
    note: "Entry | None" = None

    @property
    def counted(self) -> Counted:
        """What it is counted by."""
        return self.type, self.kind, self.reason


class Intake:
    """Decides for one bridge."""

    def __init__(self, routes: Routes, known_type: Callable[[str], bool], new_id: Callable[[], str]) -> None:
        self._routes = routes
        self._known_type = known_type
        self._new_id = new_id
        self._limits: dict[str, int] = {}

    def entry(self, delivery: Delivery) -> Entry | None:
        """The record that `delivery` becomes; None for an echo of our own output."""
        target = self._routes.resolve(delivery.address, delivery.exchange)
        if isinstance(target, Echo):
            return None
        if isinstance(target, Refusal):
            return self._refused(delivery, target)
        try:
            # First, because a dead letter keeps the payload and not how it is packed.
            if delivery.encoding:
                payload = unpacked(delivery.payload, delivery.encoding, PAYLOAD_MAX_BYTES)
                delivery = msgspec.structs.replace(delivery, payload=payload)
            self._check(target.type, len(delivery.payload))
            value = value_of(delivery.payload, target.kind, target.field)
        except PayloadError as error:
            return self._refused(delivery, _refusal(target, error.reason, error.detail), target)
        headers = input_headers(
            received_ns=delivery.received_ns,
            source=delivery.source,
            kind=target.kind,
            name=target.name,
            record_id=self._new_id() if target.kind is Kind.REQUEST else "",
        )
        topic = TypeTopics(target.type).telemetry
        kind = target.kind.value
        return Entry(topic, target.twin.encode(), value, headers, target.type, len(delivery.payload), kind=kind)

    def too_large(self, type_name: str, size: int) -> None:
        """Kafka takes less of a type than we allow: payloads of `size` bytes, unpacked, and larger are dead letters."""
        if type_name:
            self._limits[type_name] = min(self._limits.get(type_name, PAYLOAD_MAX_BYTES), size - 1)

    def _check(self, type_name: str, size: int) -> None:
        if not self._known_type(type_name):
            raise PayloadError(Reason.UNKNOWN_TYPE, f"type {type_name} is not deployed")
        limit = self._limits.get(type_name, PAYLOAD_MAX_BYTES)
        if size > limit:
            detail = f"{size} bytes, the limit is {limit}"
            if limit < PAYLOAD_MAX_BYTES:
                detail += ": the topic's max.message.bytes is too small"
            raise PayloadError(Reason.TOO_LARGE, detail)

    def _refused(self, delivery: Delivery, refusal: Refusal, target: Target | None = None) -> Entry:
        headers: Headers = []
        if target is not None:
            headers = input_headers(received_ns=0, source="", kind=target.kind, name=target.name)
        letter = dead_letter(
            reason=refusal.reason,
            detail=refusal.detail,
            source=delivery.source,
            type_name=refusal.type,
            twin=refusal.twin,
            received_ns=delivery.received_ns,
            raw=delivery.payload,
            headers=headers,
            field=target.field if target is not None else "",
        )
        known = refusal.type if refusal.type and self._known_type(refusal.type) else ""
        is_telemetry = refusal.kind is Kind.TELEMETRY
        return Entry(
            DEADLETTER,
            refusal.twin.encode() or None,
            encode(letter),
            [(UNKNOWN, b"1")] if is_telemetry and not known else [],
            known,
            len(delivery.payload),
            reason=refusal.reason.value,
            note=_note(delivery, refusal) if is_telemetry and known else None,
        )


def _refusal(target: Target, reason: Reason, detail: str) -> Refusal:
    return Refusal(reason, detail, target.type, target.twin, target.kind)


def _note(delivery: Delivery, refusal: Refusal) -> Entry:
    """What tells the loss account of telemetry that is not in the input topic: it came, and which it was."""
    counter = read_counter(delivery.payload)
    said: dict[str, str | int] = {"reason": refusal.reason.value}
    if counter is not None and counter.seq != NO_SEQ:
        said |= {"seq": counter.seq, "boot": counter.boot}
    return Entry(
        TypeTopics(refusal.type).telemetry,
        refusal.twin.encode() or None,
        b"null" if counter is None else msgspec.json.encode(said),
        input_headers(received_ns=delivery.received_ns, source=delivery.source, kind=Kind.REFUSED),
        refusal.type,
        0,
        kind=Kind.REFUSED.value,
    )


def value_of(payload: bytes, kind: str, field: str = "") -> bytes:
    """The record's value: the payload as received, except for a bare value and for a request without arguments.

    Raises:
        PayloadError: it is no bare value, where it is to be one for `field`.
    """
    if field:
        return b'{"%s":%s}' % (field.encode(), _bare(payload))
    if kind == Kind.REQUEST and not payload.strip():
        return b"{}"
    return payload


def _bare(payload: bytes) -> bytes:
    """The JSON text of one value, or of the only field of an object.

    Raises:
        PayloadError: it is neither.
    """
    try:
        value = msgspec.json.decode(payload)
        if not isinstance(value, dict | list):
            return payload.strip()
        if isinstance(value, dict) and len(value) == 1:
            (raw,) = msgspec.json.decode(payload, type=dict[str, msgspec.Raw]).values()
            return bytes(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(Reason.UNDECODABLE, f"expected one JSON value: {error}") from None
    raise PayloadError(Reason.NOT_FLAT, "expected one value, or an object with one field")
