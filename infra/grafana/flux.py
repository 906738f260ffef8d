"""Questions to the time-series store about the twins of a type, in Flux."""

from collections.abc import Sequence

_SOURCE = """from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "{type}")"""
_TWIN = '\n  |> filter(fn: (r) => r.twin == "${twin}")'
MOST_TWINS = 500
"""Rows of a table."""


def twins_of(type_name: str) -> str:
    """Ids of all twins, for a variable."""
    return f"""import "influxdata/influxdb/schema"
schema.tagValues(
  bucket: v.defaultBucket,
  tag: "twin",
  predicate: (r) => r._measurement == "{type_name}",
  start: -30d,
)"""


def history(type_name: str, fields: Sequence[str], function: str = "mean") -> str:
    """Fields of the chosen twin over time, thinned out to what a screen shows."""
    return f"""{_source(type_name)}{_TWIN}
  |> filter(fn: (r) => {_one_of(fields)})
  |> aggregateWindow(every: v.windowPeriod, fn: {function}, createEmpty: false)
  |> keep(columns: ["_time", "_value", "_field"])"""


def latest(type_name: str, fields: Sequence[str]) -> str:
    """Latest values of the chosen twin."""
    return f"""{_source(type_name)}{_TWIN}
  |> filter(fn: (r) => {_one_of(fields)})
  |> last()
  |> keep(columns: ["_time", "_value", "_field"])"""


def over_all(type_name: str, field: str, function: str) -> str:
    """Of all twins together, `min`, `mean` or `max` of a field over time."""
    return f"""{_source(type_name)}
  |> filter(fn: (r) => {_one_of([field])})
  |> group()
  |> aggregateWindow(every: v.windowPeriod, fn: {function}, createEmpty: false)
  |> map(fn: (r) => ({{_time: r._time, _value: r._value, _field: "{function}"}}))
  |> group(columns: ["_field"])"""


def latest_of_all(type_name: str, fields: Sequence[str]) -> str:
    """A row for each twin with the latest values of its fields, the first `MOST_TWINS`."""
    return f"""{_source(type_name)}
  |> filter(fn: (r) => {_one_of(fields)})
  |> last()
  |> group()
  |> pivot(rowKey: ["twin"], columnKey: ["_field"], valueColumn: "_value")
  |> sort(columns: ["twin"])
  |> limit(n: {MOST_TWINS})"""


def twins_seen(type_name: str) -> str:
    """How many twins stored something in the chosen time."""
    return f"""{_source(type_name)}
  |> keep(columns: ["_time", "twin", "_value"])
  |> group()
  |> distinct(column: "twin")
  |> count()"""


def edges(type_name: str, field: str, text: str, *, rising: bool) -> str:
    """Times at which a boolean field of the chosen twin became true, or false, as marks with a text."""
    change = "1.0" if rising else "-1.0"
    return f"""{_source(type_name)}{_TWIN}
  |> filter(fn: (r) => {_one_of([field])})
  |> difference()
  |> filter(fn: (r) => r._value == {change})
  |> map(fn: (r) => ({{_time: r._time, _value: r._value, text: "{text}"}}))"""


def _source(type_name: str) -> str:
    return _SOURCE.format(type=type_name)


def _one_of(fields: Sequence[str]) -> str:
    return " or ".join(f'r._field == "{field}"' for field in fields)
