"""The oldest points of one field, the last written of each time; and what its points come to in stretches of time."""

import duckdb
import numpy as np
from numpy.typing import NDArray

from connectors.duckdb.layout import TIME_NS, TWIN, WRITTEN
from connectors.series import TIME_MAX_NS, TIME_MIN_NS, Buckets, Series


def oldest_points(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    column: str,
    *,
    twin: str,
    start_ns: int | None,
    stop_ns: int | None,
    limit: int,
) -> Series:
    """Read points of `column`, ready-quoted like `table`, with `start_ns` <= time <= `stop_ns`.

    Rows are only ever added, so one time may have several; they are thinned out here, page by page, because doing it in
    SQL would sort the whole range whatever the limit.
    """
    sql = (
        f"SELECT {TIME_NS}, {column} AS value FROM {table}"  # noqa: S608 - both come quoted from the layout
        f" WHERE {TWIN} = ? AND {TIME_NS} BETWEEN ? AND ? AND {column} IS NOT NULL"
        f" ORDER BY {TIME_NS}, {WRITTEN} LIMIT ?"
    )
    start = _bounded(start_ns, TIME_MIN_NS)
    stop = _bounded(stop_ns, TIME_MAX_NS)
    found = Series()
    rows = limit + 1
    while len(found.time_ns) < limit:
        page = connection.execute(sql, [twin, start, stop, rows]).fetchnumpy()
        times, values = page[TIME_NS], page["value"]
        newest = last_of_each_run(times)
        whole = len(times) < rows
        if not whole:
            # The last time may go on behind the page's end: the next page begins with it.
            newest = newest[:-1]
            start = int(times[-1])
            rows *= 2
        found.time_ns += times[newest].tolist()
        found.value += values[newest].tolist()
        if whole:
            break
    return Series(found.time_ns[:limit], found.value[:limit])


def buckets_of(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    column: str,
    *,
    twin: str,
    start_ns: int,
    stop_ns: int,
    width_ns: int,
) -> Buckets:
    """What the points of `column` come to in stretches of `width_ns` from `start_ns` on, to `stop_ns` inclusive.

    Raw points are read each time: ten million take a fifth of a second on two cores, so that nothing is kept twice.
    """
    # A range beyond 64 bits needs wider numbers, which are eight times as slow.
    time = TIME_NS if stop_ns - start_ns < 2**63 else f"{TIME_NS}::HUGEINT"
    sql = (
        f"SELECT ({time} - ?) // ? AS bucket, min({column}), max({column}), avg({column}), count({column})"  # noqa: S608
        f" FROM {table} WHERE {TWIN} = ? AND {TIME_NS} BETWEEN ? AND ? AND {column} IS NOT NULL GROUP BY 1 ORDER BY 1"
    )
    found = Buckets()
    for bucket, low, high, mean, number in connection.execute(
        sql, [start_ns, width_ns, twin, start_ns, stop_ns]
    ).fetchall():
        found.time_ns.append(start_ns + int(bucket) * width_ns)
        found.low.append(low)
        found.high.append(high)
        found.mean.append(mean)
        found.number.append(number)
    return found


def last_of_each_run(times: NDArray[np.int64]) -> NDArray[np.intp]:
    """Indices of the last of each run of equal values."""
    ends = np.ones(len(times), dtype=np.bool_)
    np.not_equal(times[1:], times[:-1], out=ends[:-1])
    return np.flatnonzero(ends)


def _bounded(time_ns: int | None, default_ns: int) -> int:
    return default_ns if time_ns is None else max(TIME_MIN_NS, min(time_ns, TIME_MAX_NS))
