"""Flux that asks for one field of one twin, and reading InfluxDB's answer."""

import csv
from collections.abc import Iterator
from typing import Any

from connectors.series import TIME_MAX_NS, TIME_MIN_NS, Buckets, Series

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
    wanted = _of(measurement, twin, field)
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


def buckets(*, bucket: str, measurement: str, twin: str, field: str, start_ns: int, stop_ns: int, width_ns: int) -> str:
    """Text of the query for stretches of `width_ns` from `start_ns` on, to `stop_ns` inclusive.

    Each figure is a query of its own, because only so the storage engine does the work.
    """
    points = f"""points = () => from(bucket: {quoted(bucket)})
|> range(start: time(v: {start_ns}), stop: time(v: {stop_ns + 1}))
|> filter(fn: (r) => {_of(measurement, twin, field)})
"""
    window = f'every: {width_ns}ns, offset: {start_ns % width_ns}ns, createEmpty: false, timeSrc: "_start"'
    figures = ", ".join(
        f'points() |> aggregateWindow(fn: {name}, {window}) |> toFloat() |> keep(columns: ["_time", "_value"])'
        f' |> set(key: "figure", value: "{name}")'
        for name in _FIGURES
    )
    return f"""{points}union(tables: [{figures}])
|> map(fn: (r) => ({{time_ns: int(v: r._time), value: r._value, figure: r.figure}}))
"""


_FIGURES = ("min", "max", "mean", "count")


def _of(measurement: str, twin: str, field: str) -> str:
    return " and ".join(
        f"r.{column} == {quoted(value)}"
        for column, value in (("_measurement", measurement), ("twin", twin), ("_field", field))
    )


def quoted(text: str) -> str:
    """A Flux string literal that stands for `text` whatever is in it."""
    return '"' + "".join(_ESCAPES.get(character, character) for character in text) + '"'


def read_points(answer: str) -> Series:
    """Points in the CSV that a query of `oldest_points` is answered with.

    Raises:
        FluxError: the query failed after the answer had begun, or a value is no number.
    """
    found = Series()
    for row in _rows(answer):
        found.time_ns.append(row["time_ns"])
        found.value.append(row["value"])
    return found


def read_buckets(answer: str, start_ns: int, width_ns: int) -> Buckets:
    """Stretches in the CSV that a query of `buckets` is answered with.

    Raises:
        FluxError: as for `read_points`.
    """
    # A twin whose tags changed has several series, each with figures of its own.
    stretches: dict[int, dict[str, list[float]]] = {}
    for row in _rows(answer):
        figures = stretches.setdefault((row["time_ns"] - start_ns) // width_ns, {name: [] for name in _FIGURES})
        figures[row["figure"]].append(row["value"])
    found = Buckets()
    for number, figures in sorted(stretches.items()):
        count = sum(figures["count"])
        found.time_ns.append(start_ns + number * width_ns)
        found.low.append(min(figures["min"]))
        found.high.append(max(figures["max"]))
        weighed = zip(figures["mean"], figures["count"], strict=True)
        found.mean.append(sum(mean * each for mean, each in weighed) / count)
        found.number.append(int(count))
    return found


def _rows(answer: str) -> Iterator[dict[str, Any]]:
    names: list[str] = []
    for row in csv.reader(answer.splitlines()):
        if not row or row[0].startswith("#"):
            names = []  # annotations begin a new table
        elif "error" in row and not names:
            raise FluxError(answer[-500:])
        elif "time_ns" in row:
            names = row
        elif not names:
            message = f"unexpected answer {answer[:200]!r}"
            raise FluxError(message)
        else:
            named: dict[str, Any] = dict(zip(names, row, strict=False))
            try:
                yield named | {"time_ns": int(named["time_ns"]), "value": float(named["value"])}
            except (ValueError, KeyError) as error:
                message = f"unexpected row {row}"
                raise FluxError(message) from error
