"""Flux that asks for one field of one twin, and reading InfluxDB's answer."""

import csv

from connectors.series import TIME_MAX_NS, TIME_MIN_NS, Series

_ESCAPES = {"\\": "\\\\", '"': '\\"', "$": "\\x24", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
"""A dollar sign before a brace would begin an expression."""


class FluxError(ValueError):
    """InfluxDB reports a failure inside its answer."""


def oldest_points(
    *, bucket: str, measurement: str, twin: str, field: str, start_ns: int | None, stop_ns: int | None, limit: int
) -> str | None:
    """Text of the query, both bounds inclusive; None when they enclose nothing.

    Values stand in it as literals: only comparisons with literals reach the storage engine. Each series is limited
    before all are merged, because a twin whose tags changed has several; `unique` leaves one of equal times.
    """
    start = TIME_MIN_NS if start_ns is None else max(start_ns, TIME_MIN_NS)
    stop = TIME_MAX_NS if stop_ns is None else min(stop_ns, TIME_MAX_NS)
    if start > stop:
        return None
    wanted = " and ".join(
        f"r.{column} == {quoted(value)}"
        for column, value in (("_measurement", measurement), ("twin", twin), ("_field", field))
    )
    return f"""from(bucket: {quoted(bucket)})
|> range(start: time(v: {start}), stop: time(v: {stop + 1}))
|> filter(fn: (r) => {wanted})
|> limit(n: {limit})
|> keep(columns: ["_time", "_value"])
|> sort(columns: ["_time"])
|> unique(column: "_time")
|> limit(n: {limit})
|> map(fn: (r) => ({{time_ns: int(v: r._time), value: r._value}}))
"""


def quoted(text: str) -> str:
    """A Flux string literal that stands for `text` whatever is in it."""
    return '"' + "".join(_ESCAPES.get(character, character) for character in text) + '"'


def read_points(answer: str) -> Series:
    """Points in the CSV that a query of `oldest_points` is answered with.

    Raises:
        FluxError: the query failed after the answer had begun, or a value is no number.
    """
    found = Series()
    time_at = value_at = -1
    for row in csv.reader(answer.splitlines()):
        if not row or row[0].startswith("#"):
            # Annotations begin a new table.
            time_at = value_at = -1
        elif "error" in row and time_at < 0:
            raise FluxError(answer[-500:])
        elif "time_ns" in row:
            time_at, value_at = row.index("time_ns"), row.index("value")
        elif time_at < 0:
            message = f"unexpected answer {answer[:200]!r}"
            raise FluxError(message)
        else:
            try:
                found.time_ns.append(int(row[time_at]))
                found.value.append(float(row[value_at]))
            except (ValueError, IndexError) as error:
                message = f"unexpected row {row}"
                raise FluxError(message) from error
    return found
