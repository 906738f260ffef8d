"""Line protocol as stores read it: names, tags, floating-point fields and a time, by the rules of InfluxDB 2.

Source: InfluxDB 2 reference, "Line protocol": a backslash escapes a comma, a space and (not in the measurement) an
equals sign, and stands for itself before anything else; double quotes mean nothing outside of string values.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from connectors.series import TIME_MAX_NS, TIME_MIN_NS

_MEASUREMENT = r"(?:[^, \\]|\\[, ]?+)++"
_WORD = r"(?:[^,= \\]|\\[,= ]?+)++"
NUMBER = r"-?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"
TIME = r"-?[0-9]{1,19}"

_LINE = re.compile(rf"({_MEASUREMENT})((?:,{_WORD}={_WORD})*) +({_WORD}={NUMBER}(?:,{_WORD}={NUMBER})*) +({TIME})")
_PAIR = re.compile(rf"({_WORD})=({_WORD})")
_ESCAPED = re.compile(r"\\([,= ])")
_ESCAPED_IN_MEASUREMENT = re.compile(r"\\([, ])")


class LineError(ValueError):
    """A line that is not measurement[,tag=value…] field=number[,field=number…] time; the message says why."""


class Line(NamedTuple):
    """One point.

    Attributes:
        tags: By key.
        fields: Finite.
        time_ns: UTC nanoseconds, within what every store can hold.
    """

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float]
    time_ns: int


def lines_of(block: bytes) -> Iterator[tuple[bytes, str | None]]:
    """Every line of a block that means anything, raw and decoded; None for one that is not UTF-8."""
    for raw in block.split(b"\n"):
        stripped = raw.strip(b" \t\r")
        if stripped and not stripped.startswith(b"#"):
            try:
                yield raw, stripped.decode()
            except UnicodeDecodeError:
                yield raw, None


def parse_line(text: str) -> Line:
    """Read one line, without its line break.

    Raises:
        LineError: it is outside the format above.
    """
    match = _LINE.fullmatch(text)
    if match is None:
        message = "no line protocol with floating-point fields and a time"
        raise LineError(message)
    measurement, raw_tags, raw_fields, raw_time = match.groups()
    tags = _pairs(raw_tags, "tag")
    fields = {name: float(value) for name, value in _pairs(raw_fields, "field").items()}
    for name, value in fields.items():
        if not math.isfinite(value):
            message = f"field {name!r} is too large for a floating-point number"
            raise LineError(message)
    time_ns = int(raw_time)
    if not TIME_MIN_NS <= time_ns <= TIME_MAX_NS:
        message = f"time {time_ns} is outside of {TIME_MIN_NS} to {TIME_MAX_NS}"
        raise LineError(message)
    return Line(_ESCAPED_IN_MEASUREMENT.sub(r"\1", measurement), tags, fields, time_ns)


def _pairs(text: str, what: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for key, value in _PAIR.findall(text):
        name = _ESCAPED.sub(r"\1", key)
        if name in pairs:
            message = f"{what} {name!r} appears twice"
            raise LineError(message)
        pairs[name] = _ESCAPED.sub(r"\1", value)
    return pairs


def without(block: bytes, refused: frozenset[bytes]) -> bytes:
    """The block with these raw lines cut out."""
    return b"\n".join(raw for raw in block.split(b"\n") if raw not in refused)
