"""Blocks of line protocol into columns, fast for lines that look like the one before.

A worker writes the same tags and fields line after line. So the first line of a shape is read by the general rules and
becomes a pattern, which then reads its successors at one match each.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.lines import NUMBER, TIME, Line, LineError, lines_of, parse_line
from connectors.series import TIME_MAX_NS, TIME_MIN_NS
from connectors.stores import Block, Refusal

_PLAIN_VALUE = r"([^,= \\]+)"
_SHAPES_KEPT = 256

Row = tuple[str | float, ...]
"""Tag values, field values and time of a line, as text or converted."""


class Shape(NamedTuple):
    """What lines have in common that go into the same columns."""

    measurement: str
    tags: tuple[str, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """Lines of one shape.

    Attributes:
        number: Place of each line among all that were read, ascending.
        tags: A column per tag.
        fields: A column per field, finite.
        time_ns: UTC nanoseconds.
    """

    shape: Shape
    number: NDArray[np.int64]
    tags: list[NDArray[np.object_]]
    fields: list[NDArray[np.float64]]
    time_ns: NDArray[np.int64]


class ColumnReader:
    """Reads blocks; remembers the patterns of shapes from one call to the next."""

    def __init__(self) -> None:
        self._patterns: dict[Shape, re.Pattern[str]] = {}

    def read(self, blocks: Sequence[Block]) -> tuple[list[Columns], list[Refusal]]:
        """Turn the lines of `blocks` into columns per shape; what can't be read is refused, line by line."""
        lines = [(block, raw, text) for block in blocks for raw, text in lines_of(block.lines)]
        rows: dict[Shape, list[tuple[int, Row]]] = {}
        refused: dict[int, str] = {}
        pattern: re.Pattern[str] | None = None
        of_shape: list[tuple[int, Row]] = []
        for number, (_, _, text) in enumerate(lines):
            if text is None:
                refused[number] = "not UTF-8"
            elif pattern is not None and (match := pattern.fullmatch(text)):
                of_shape.append((number, match.groups()))
            else:
                try:
                    line = parse_line(text)
                except LineError as error:
                    refused[number] = str(error)
                    continue
                shape = Shape(line.measurement, tuple(line.tags), tuple(line.fields))
                of_shape = rows.setdefault(shape, [])
                of_shape.append((number, _row(line)))
                # Escaped names differ from what the pattern would look for.
                pattern = None if "\\" in text else self._pattern(shape)
        columns = [_columns(shape, found, refused) for shape, found in rows.items()]
        refusals = [
            Refusal(lines[number][0].position, lines[number][1], why) for number, why in sorted(refused.items())
        ]
        return columns, refusals

    def _pattern(self, shape: Shape) -> re.Pattern[str]:
        known = self._patterns.get(shape)
        if known is None:
            if len(self._patterns) >= _SHAPES_KEPT:
                self._patterns.clear()
            tags = "".join(f",{re.escape(tag)}={_PLAIN_VALUE}" for tag in shape.tags)
            fields = ",".join(f"{re.escape(name)}=({NUMBER})" for name in shape.fields)
            known = re.compile(f"{re.escape(shape.measurement)}{tags} +{fields} +({TIME})")
            self._patterns[shape] = known
        return known


def _row(line: Line) -> Row:
    return (*line.tags.values(), *line.fields.values(), line.time_ns)


def _columns(shape: Shape, rows: list[tuple[int, Row]], refused: dict[int, str]) -> Columns:
    """Convert rows of text; one that is out of bounds goes to `refused` instead."""
    try:
        return _converted(shape, rows)
    except OverflowError:
        sound = []
        for row in rows:
            try:
                _converted(shape, [row])
                sound.append(row)
            except OverflowError as error:
                refused[row[0]] = str(error)
        return _converted(shape, sound)


def _converted(shape: Shape, rows: list[tuple[int, Row]]) -> Columns:
    """Convert rows of text.

    Raises:
        OverflowError: a value or time in it is out of bounds.
    """
    columns = list(zip(*(row for _, row in rows), strict=True)) or [()] * (len(shape.tags) + len(shape.fields) + 1)
    tags = [np.array(column, dtype=object) for column in columns[: len(shape.tags)]]
    fields = [np.fromiter(map(float, column), np.float64, len(rows)) for column in columns[len(shape.tags) : -1]]
    times = [int(time_ns) for time_ns in columns[-1]]
    if times and not TIME_MIN_NS <= min(times) <= max(times) <= TIME_MAX_NS:
        message = f"the time is outside of {TIME_MIN_NS} to {TIME_MAX_NS}"
        raise OverflowError(message)
    for name, column in zip(shape.fields, fields, strict=True):
        if not np.isfinite(column).all():
            message = f"field {name!r} is too large for a floating-point number"
            raise OverflowError(message)
    numbers = np.fromiter((number for number, _ in rows), np.int64, len(rows))
    return Columns(shape, numbers, tags, fields, np.array(times, dtype=np.int64))
