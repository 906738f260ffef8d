"""Recorded values as a CSV file: `time` and the inputs of a twin type as columns, one record a row."""

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from schemas.clock import NS_PER_S
from schemas.definition import Definition
from schemas.errors import PayloadError, SetupError
from schemas.telemetry import parse_time

TIME = "time"

_YEAR_NS = 365 * 86_400 * NS_PER_S
_IN_2001_NS, _IN_2096_NS = 10**9 * NS_PER_S, 4 * 10**9 * NS_PER_S
_UNITS = (("seconds", NS_PER_S), ("milliseconds", 1_000_000), ("microseconds", 1000))

_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,30}", re.ASCII)


class Row(NamedTuple):
    """One record of the file.

    Attributes:
        line: Of the file, 1-based; the first where a cell goes over several.
        raw: What stands there.
        time_ns: Event time; None where the cell is no time.
        payload: Telemetry as a device sends it.
        fault: Why the row is no record at all, `""` when it is one.
    """

    line: int
    raw: str
    time_ns: int | None
    payload: bytes
    fault: str


def read_rows(path: Path, definition: Definition) -> Iterator[Row]:
    """Read a file row by row; what is wrong with single values is left to the type to say.

    Args:
        path: CSV in UTF-8, separated by commas, the first line naming the columns; their order is free.
        definition: Says which columns there must be.

    Yields:
        Every row but blank ones.

    Raises:
        SetupError: the file can't be read, or its columns are not `time` and the inputs.
    """
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            taken: list[str] = []
            reader = csv.reader(_noted(file, taken))
            names = [name.strip() for name in next(reader, [])]
            _check_columns(path, names, definition)
            line = reader.line_num
            taken.clear()
            for cells in reader:
                if cells:
                    yield _row(line + 1, "".join(taken).rstrip("\r\n"), names, cells)
                line = reader.line_num
                taken.clear()
    except UnicodeDecodeError:
        message = f"{path} can't be read: behind line {line} there is something that is no UTF-8"
        raise SetupError(message) from None
    except csv.Error as error:
        message = f"{path} can't be read: line {line + 1}: {error}"
        raise SetupError(message) from None
    except OSError as error:
        message = f"{path} can't be read: {error.strerror}"
        raise SetupError(message) from None


def read_time(cell: str) -> tuple[int | str, int | None]:
    """A time in text: as telemetry says it, and in UTC nanoseconds, None where the type will refuse it and say why."""
    cell = cell.strip()
    time = int(cell) if _INTEGER.fullmatch(cell) else cell
    try:
        return time, parse_time(time)
    except PayloadError:
        return time, None


def hint_of(first_ns: int | None, last_ns: int | None) -> str:
    """What is wrong with times that all lie in 1970, `""` for nothing.

    Args:
        first_ns: Earliest time as it was read, UTC nanoseconds; None where there was none.
        last_ns: Latest.
    """
    if first_ns is None or last_ns is None or last_ns >= _YEAR_NS:
        return ""
    unit, factor = next(
        ((unit, factor) for unit, factor in _UNITS if _IN_2001_NS <= first_ns * factor < _IN_2096_NS), ("", 0)
    )
    looks = f": these look like {unit}, which are to be multiplied by {factor:,}" if unit else ""
    return (
        f"every time is in 1970, because {TIME} counts nanoseconds since then{looks};"
        " a time may also be written as 2026-01-01T12:00:00Z"
    )


def _noted(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    """The lines, each of which is also put into `taken`."""
    for line in lines:
        taken.append(line)
        yield line


def _check_columns(path: Path, names: list[str], definition: Definition) -> None:
    wanted = [TIME, *definition.inputs]
    faults = []
    if missing := [name for name in wanted if name not in names]:
        faults.append(f"no column {_listed(missing)}")
    if unknown := [name for name in names if name not in wanted]:
        faults.append(f"unknown column {_listed(unknown)}")
    if len(names) == 1 and (mark := next((mark for mark in ";\t|" if mark in names[0]), "")):
        faults.append(f"columns are separated by commas, not by {mark!a}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        faults.append(f"column {_listed(twice)} more than once")
    if faults:
        message = f"{path}: {'; '.join(faults)} (the first line names the columns: {','.join(wanted)})"
        raise SetupError(message)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(ascii(name)[1:-1][:80] or "without a name" for name in names)


def _row(line: int, raw: str, names: list[str], cells: list[str]) -> Row:
    if len(cells) != len(names):
        values = f"{len(cells)} value{'s' * (len(cells) != 1)}"
        return Row(line, raw, None, b"", f"{values} under {len(names)} columns")
    time_ns = None
    fields = []
    for name, cell in zip(names, map(str.strip, cells), strict=True):
        if name == TIME:
            time, time_ns = read_time(cell)
            fields.append(f'"{TIME}":{json.dumps(time)}')
        elif cell:
            fields.append(f'"{name}":{_literal(cell)}')
    return Row(line, raw, time_ns, f"{{{','.join(fields)}}}".encode(), "")


def _literal(cell: str) -> str:
    """A cell as JSON: a number or boolean where it is one, else a text."""
    if cell in {"true", "false"} or _JSON_NUMBER.fullmatch(cell):
        return cell
    try:
        number = float(cell) if "_" not in cell else None
    except ValueError:
        number = None
    if number is None:
        return json.dumps(cell)
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else f"{'-' * (number < 0)}Infinity"
