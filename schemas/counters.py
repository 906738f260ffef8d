"""A device's own counter in a payload that nobody can use otherwise: read as far as it goes."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from schemas.errors import PayloadError
from schemas.line_protocol import parse_lines
from schemas.nesting import is_deep
from schemas.telemetry import INT64_MAX, decode_pythons_json, fields_of, may_be_pythons_json

NO_SEQ = -1
_MOST_DIGITS = 19


class Counter(NamedTuple):
    """What tells one message of a device from its others.

    Attributes:
        boot: The device's boot, `""` when it sends none.
        seq: Its counter, `NO_SEQ` when it sends none.
    """

    boot: str
    seq: int


def read_counter(payload: bytes) -> Counter | None:
    """The counter in a telemetry payload of any of the three formats; None where it can't be read."""
    fields = _fields(payload)
    return None if fields is None else counter_in(fields)


def counter_in(fields: Mapping[str, Any]) -> Counter | None:
    """The counter in the fields of a payload; None where it can't be read."""
    seq, boot = fields.get("seq"), fields.get("boot", "")
    if seq is None:
        seq = NO_SEQ
    elif not isinstance(seq, int) or isinstance(seq, bool) or not 0 <= seq <= INT64_MAX:
        return None
    return Counter(_text(boot), seq)


def _text(boot: object) -> str:
    """A boot that is no text, or half a character, as JSON tells it."""
    if isinstance(boot, str):
        try:
            boot.encode()
        except UnicodeEncodeError:
            return json.dumps(boot)
        return boot
    return json.dumps(boot)


def counter_of(seq: bytes, boot: bytes) -> Counter | None:
    """The counter in two headers; None for none."""
    if not seq.isdigit() or len(seq) > _MOST_DIGITS or int(seq) > INT64_MAX:
        return None
    return Counter(boot.decode(errors="replace"), int(seq))


def _fields(payload: bytes) -> dict[str, Any] | None:
    first = payload.lstrip()[:1]
    if first == b"{":
        return _of_json(payload)
    if first in {b"[", b""}:
        return None
    try:
        points = list(parse_lines(payload.decode()))
    except (UnicodeDecodeError, PayloadError):
        return None
    return dict(points[0].fields) if len(points) == 1 else None


def _of_json(payload: bytes) -> dict[str, Any] | None:
    if is_deep(payload):
        return None
    try:
        document = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if not may_be_pythons_json(payload):
            return None
        try:
            document, _ = decode_pythons_json(payload)  # takes NaN, which devices send
        except (ValueError, RecursionError):
            return None
    return fields_of(document)
