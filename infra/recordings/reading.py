"""Recordings as CSV or Parquet: a time column and the inputs of a twin type, one record a row."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import duckdb

from infra.authoring.recording import TIME, read_rows, read_time
from schemas.definition import Definition
from schemas.errors import SetupError

SUFFIXES = (".csv", ".parquet")
_AT_ONCE = 10_000


class Record(NamedTuple):
    """One record.

    Attributes:
        time_ns: Event time, UTC nanoseconds; None where the row holds none, and the type says what is wrong with it.
        payload: As a device sends it.
        fault: Why the row is no record at all, `""` when it is one.
    """

    time_ns: int | None
    payload: bytes
    fault: str


def read_recording(path: Path, definition: Definition) -> Iterator[Record]:
    """Read a recording in the order of the file.

    Args:
        path: `.csv`, or `.parquet`; columns `time` (integer nanoseconds, RFC 3339, or a time stamp) and the inputs.
        definition: Of the type that it is for.

    Raises:
        SetupError: the file can't be read, or its columns are others.
    """
    if path.suffix.lower() == ".parquet":
        yield from _parquet(path, definition)
    elif path.suffix.lower() == ".csv":
        for row in read_rows(path, definition):
            yield Record(row.time_ns, row.payload, f"line {row.line}: {row.fault}" if row.fault else "")
    else:
        message = f"{path.name} is neither {' nor '.join(SUFFIXES)}"
        raise SetupError(message)


def _parquet(path: Path, definition: Definition) -> Iterator[Record]:
    wanted = [TIME, *definition.inputs]
    try:
        with duckdb.connect() as connection:
            found = connection.read_parquet(str(path))
            if set(found.columns) != set(wanted):
                message = f"{path.name}: the columns are {', '.join(found.columns)}; they must be {', '.join(wanted)}"
                raise SetupError(message)
            kind = str(found.select(TIME).types[0])
            time = f'epoch_ns("{TIME}")' if kind.startswith(("TIMESTAMP", "DATE")) else f'"{TIME}"'
            names = ", ".join(f'"{name}"' for name in definition.inputs)
            rows = connection.execute(f"SELECT {time}, {names} FROM found")  # noqa: S608 - names of our grammar
            while some := rows.fetchmany(_AT_ONCE):
                for time_value, *values in some:
                    yield _record(time_value, dict(zip(definition.inputs, values, strict=True)))
    except duckdb.Error as error:
        message = f"{path.name} can't be read: {str(error).splitlines()[0]}"
        raise SetupError(message) from None


def _record(time: object, values: dict[str, object]) -> Record:
    if isinstance(time, float | Decimal):
        return Record(None, b"", f"{TIME} is {time}: it counts integer nanoseconds, or is a time stamp")
    time_ns = time if isinstance(time, int) else None
    if isinstance(time, str):
        time, time_ns = read_time(time)
    given = {name: value for name, value in values.items() if value is not None}
    document = ({TIME: time} if time is not None else {}) | given
    return Record(time_ns, json.dumps(document, default=_as_json).encode(), "")


def _as_json(value: object) -> float | str:
    """DuckDB takes a number such as 20.5 for a decimal; what else JSON lacks is left to the type to refuse."""
    return float(value) if isinstance(value, Decimal) else str(value)
