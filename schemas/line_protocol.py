"""InfluxDB line protocol: reading it, and escaping what we write.

Source: InfluxDB 2 reference, "Line protocol": measurement[,tag=value…] field=value[,field=value…] [time].
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from schemas.errors import PayloadError
from schemas.reasons import Reason

Scalar = bool | int | float | str
Quotes = Literal["all", "fields", "none"]
"""Where a quotation mark may begin a string: everywhere, after a line's first blank, nowhere."""

# Python would take more for a number: digits of every script, and underscores between them.
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?|nan|inf|infinity)", re.IGNORECASE)
"""What is not finite is told as such by who asks for the field."""

_TRUE = frozenset({"t", "T", "true", "True", "TRUE"})
_FALSE = frozenset({"f", "F", "false", "False", "FALSE"})


@dataclass(slots=True)
class Point:
    """One line.

    Attributes:
        time_ns: UTC nanoseconds, None when the line carries none.
    """

    measurement: str
    tags: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Scalar] = field(default_factory=dict)
    time_ns: int | None = None


def escape_measurement(text: str) -> str:
    """Escape a measurement's name."""
    return _one_line(text).replace(",", "\\,").replace(" ", "\\ ")


def escape_tag(text: str) -> str:
    """Escape a tag key, tag value or field key."""
    return escape_measurement(text).replace("=", "\\=")


def _one_line(text: str) -> str:
    # A raw line break would start a new line; a backslash at the end would escape our own separator.
    text = text.replace("\n", "\\n").replace("\r", "\\r")
    return text + " " if text.endswith("\\") else text


def parse_lines(text: str) -> Iterator[Point]:
    """Yield a point per line; blank lines and `#` comments are passed over.

    Raises:
        PayloadError: a line is no line protocol.
    """
    for line in _split(text, "\n", quotes="fields"):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield parse_line(stripped)


def parse_line(line: str) -> Point:
    """Read one line.

    Raises:
        PayloadError: `line` is no line protocol.
    """
    parts = [part for part in _split(line, " ", quotes="fields") if part]
    if len(parts) not in {2, 3}:
        raise _bad(line, "expected measurement, fields and at most one time stamp")
    head, *tags = _split(parts[0], ",", quotes="none")
    if not head:
        raise _bad(line, "the measurement is empty")
    point = Point(_unescape(head))
    for tag in tags:
        key, value = _pair(tag, line, quotes="none")
        point.tags[_unescape(key)] = _unescape(value)
    for item in _split(parts[1], ","):
        key, value = _pair(item, line)
        point.fields[_unescape(key)] = _field_value(value, line)
    if len(parts) == 3:  # noqa: PLR2004
        if not _INTEGER.fullmatch(parts[2]):
            raise PayloadError(Reason.INVALID_TIME, f"time stamp {parts[2][:40]!r} is no integer of at most 20 digits")
        point.time_ns = int(parts[2])
    return point


def _pair(text: str, line: str, quotes: Quotes = "all") -> tuple[str, str]:
    pieces = _split(text, "=", limit=1, quotes=quotes)
    if len(pieces) != 2 or not pieces[0] or not pieces[1]:  # noqa: PLR2004
        raise _bad(line, f"{text[:40]!r} is no key=value")
    return pieces[0], pieces[1]


def _field_value(text: str, line: str) -> Scalar:
    if text[0] == '"':
        if len(text) < 2 or text[-1] != '"':  # noqa: PLR2004
            raise _bad(line, f"string {text[:40]!r} is not closed")
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INTEGER.fullmatch(text, 0, len(text) - 1) and text[-1] in "iu":
        return int(text[:-1])
    if _NUMBER.fullmatch(text):
        return float(text)
    raise _bad(line, f"value {text[:40]!r} is no number, boolean or quoted string")


def _split(text: str, separator: str, limit: int = -1, quotes: Quotes = "all") -> list[str]:
    """Split at separators that are neither escaped nor inside a quoted field value.

    As InfluxDB reads it: a quotation mark begins a string only behind the `=` of a field, and is a letter elsewhere; a
    backslash escapes comma, blank and `=` outside a string, quotation mark and backslash inside, and is a letter before
    anything else.
    """
    if '"' not in text and "\\" not in text:
        return text.split(separator, limit)
    pieces: list[str] = []
    start = 0
    quoted = equals = False
    quotable = quotes == "all"
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            following = text[position + 1 : position + 2]
            position += bool(following) and following in ('"\\' if quoted else ", =")
        elif character == '"' and (quoted or (quotable and equals)):
            quoted = not quoted
        elif not quoted:
            if quotes == "fields" and character in " \n":
                quotable = character == " "
            if character == separator:
                pieces.append(text[start:position])
                start = position + 1
                if len(pieces) == limit:
                    break
        equals = character == "="
        position += 1
    pieces.append(text[start:])
    return pieces


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    for character in ", =":
        text = text.replace("\\" + character, character)
    return text


def _bad(line: str, why: str) -> PayloadError:
    return PayloadError(Reason.UNDECODABLE, f"line protocol {line[:80]!r}: {why}")
