"""Telemetry payloads: a flat JSON object, the Influx-point JSON object, or one line of line protocol.

This is the careful decoder of one payload; the worker's columnar decoder falls back to it.
"""

import json
import math
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas.clock import NS_PER_S
from schemas.errors import PayloadError
from schemas.line_protocol import parse_lines
from schemas.nesting import NESTING_LIMIT, is_deep
from schemas.reasons import Reason

INT64_MAX = 2**63 - 1
_LONGEST_INTEGER = 300

_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


_PYTHONS_OWN = re.compile(rb"NaN|Infinity|[0-9][eE]|[0-9]{300}|\\u[dD]|[\0\xed]")


@dataclass(slots=True)
class Reading:
    """What one payload says.

    Attributes:
        time_ns: Device time, UTC nanoseconds; None when the arrival time holds.
        seq: The device's own counter, None when it sends none.
        boot: The device's boot, `""` when it sends none.
        values: Every other field, as sent; which of them matter, and their types, only the type's definition knows.
    """

    time_ns: int | None
    seq: int | None
    boot: str
    values: dict[str, Any]


def may_be_pythons_json(payload: bytes) -> bool:
    """Whether Python's decoder may read what is no JSON: what is not finite, half a surrogate pair, no UTF-8."""
    return _PYTHONS_OWN.search(payload) is not None


def parse_time(value: object) -> int:
    """UTC nanoseconds of a device's `time`: integer nanoseconds or RFC 3339.

    Raises:
        PayloadError: `value` is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= INT64_MAX:
            raise PayloadError(Reason.INVALID_TIME, f"time {value} is not within 64-bit nanoseconds since 1970")
        return value
    if isinstance(value, str) and (match := _RFC3339.fullmatch(value.strip())):
        day, clock, fraction, zone = match.groups()
        try:
            moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
        except ValueError as error:
            raise PayloadError(Reason.INVALID_TIME, f"time {value[:40]!r}: {error}") from None
        nanoseconds = int((fraction or "0").ljust(9, "0"))
        seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
        return parse_time(seconds * NS_PER_S + nanoseconds)
    message = f"time {ascii(value)[:60]} must be integer nanoseconds since 1970 or RFC 3339"
    raise PayloadError(Reason.INVALID_TIME, message)


def parse_telemetry(payload: bytes) -> Reading:
    """Decode one payload of any of the three formats.

    Raises:
        PayloadError: with reason `undecodable`, `not_flat`, `not_finite`, `invalid_time` or `wrong_type`.
    """
    if payload.lstrip()[:1] in {b"{", b"[", b""}:
        return _from_json(payload)
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise PayloadError(Reason.UNDECODABLE, f"neither JSON nor line protocol: {error}") from None
    points = list(parse_lines(text))
    if len(points) != 1:
        raise PayloadError(Reason.UNDECODABLE, f"expected one line of line protocol, got {len(points)}")
    return _reading(dict(points[0].fields), points[0].time_ns)


class _PythonsJson(threading.local):
    """Python's decoder, which takes numbers that are not finite, and remembers them; one for each thread."""

    def __init__(self) -> None:
        self._seen: list[str] = []
        self._decoder = json.JSONDecoder(parse_constant=self._number, parse_float=self._number, parse_int=self._integer)

    def decode(self, payload: bytes) -> tuple[Any, list[str]]:
        """What a payload says, and its numbers that are not finite, as they are written, cut to 40 characters.

        Raises:
            ValueError: it is no JSON all the same.
            RecursionError: it is nested too deep.
        """
        self._seen.clear()
        return self._decoder.decode(payload.decode(json.detect_encoding(payload), "surrogatepass")), self._seen.copy()

    def _number(self, text: str) -> float:
        number = float(text)
        if not math.isfinite(number):
            self._seen.append(text[:40])
        return number

    def _integer(self, text: str) -> int | float:
        # Python makes no integer of a text as long as one may be here.
        return self._number(text) if len(text) > _LONGEST_INTEGER else int(text)


decode_pythons_json = _PythonsJson().decode


def fields_of(document: object) -> dict[str, Any] | None:
    """The fields in a JSON document, those of a point in the Influx form; None for what is no object."""
    if not isinstance(document, dict):
        return None
    fields = document.get("fields")
    return fields if isinstance(fields, dict) and "measurement" in document else document


def _from_json(payload: bytes) -> Reading:
    if is_deep(payload):
        raise PayloadError(Reason.UNDECODABLE, f"no JSON, or nested deeper than {NESTING_LIMIT} levels")
    try:
        document = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _json_error(payload, error) from None
    fields = fields_of(document)
    if fields is None:
        raise PayloadError(Reason.NOT_FLAT, f"expected a JSON object, got {type(document).__name__}")
    return _reading(fields, document.get("time") if fields is not document else document.pop("time", None))


def _json_error(payload: bytes, error: Exception) -> PayloadError:
    """Tell not-a-number, which JSON lacks but devices send, from what is no JSON at all."""
    told = f"no JSON: {str(error).removeprefix('JSON is malformed: ')}"
    if not may_be_pythons_json(payload):
        return PayloadError(Reason.UNDECODABLE, told)
    try:
        document, seen = decode_pythons_json(payload)
    except (ValueError, RecursionError):
        return PayloadError(Reason.UNDECODABLE, told)
    if seen:
        return PayloadError(Reason.NOT_FINITE, f"{seen[0]} is no finite JSON number", fields_of(document))
    return PayloadError(Reason.UNDECODABLE, told, fields_of(document))


def _reading(fields: dict[str, Any], time: object) -> Reading:
    seq = fields.get("seq")
    boot = fields.get("boot", "")
    if seq is not None and (not isinstance(seq, int) or isinstance(seq, bool) or not 0 <= seq <= INT64_MAX):
        raise PayloadError(Reason.WRONG_TYPE, f"seq must be a non-negative integer, got {ascii(seq)[:60]}", fields)
    if not isinstance(boot, str):
        raise PayloadError(Reason.WRONG_TYPE, f"boot must be a string, got {ascii(boot)[:60]}", fields)
    try:
        time_ns = None if time is None else parse_time(time)
    except PayloadError as error:
        error.fields = fields
        raise
    fields.pop("seq", None)
    fields.pop("boot", None)
    return Reading(time_ns, seq, boot, fields)
