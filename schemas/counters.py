"""A device's own counter in a payload that nobody can use otherwise: read as far as it goes."""

import json
from typing import Any, NamedTuple

import msgspec

from schemas.errors import PayloadError
from schemas.line_protocol import parse_lines
from schemas.nesting import is_deep
from schemas.telemetry import INT64_MAX

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
    if fields is None:
        return None
    seq, boot = fields.get("seq"), fields.get("boot", "")
    if seq is None:
        seq = NO_SEQ
    elif not isinstance(seq, int) or isinstance(seq, bool) or not 0 <= seq <= INT64_MAX:
        return None
    return Counter(boot if isinstance(boot, str) else json.dumps(boot), seq)


def counter_of(seq: bytes, boot: bytes) -> Counter | None:
    """The counter in two headers; None for none."""
    if not seq.isdigit() or len(seq) > _MOST_DIGITS or int(seq) > INT64_MAX:
        return None
    return Counter(boot.decode(errors="replace"), int(seq))


def _fields(payload: bytes) -> dict[str, Any] | None:
    if payload.lstrip()[:1] == b"{":
        return _of_json(payload)
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
        try:
            document = json.loads(payload)  # takes NaN, which devices send
        except (ValueError, RecursionError):
            return None
    if not isinstance(document, dict):
        return None
    fields = document.get("fields")
    return fields if isinstance(fields, dict) and "measurement" in document else document
