"""A stretch of a twin's history, as the curves take it: every point where they are few, else what stretches come to."""

import asyncio
from typing import Any

from connectors.series import Buckets, Series
from connectors.stores import StoreUnavailableError
from infra.console.desk import Desk

BUCKETS = 600
"""Of a curve: about one for each two pixels."""
_FEW = 2 * BUCKETS
_TIMEOUT_S = 20.0

RANGES = {"5 min": 300, "30 min": 1_800, "2 h": 7_200, "12 h": 43_200, "7 d": 604_800, "All": 0}
"""Lengths to choose from, seconds; 0 for everything."""

Points = dict[str, list[Any]]
"""`time_ms` and `value`; of stretches that hold several points also `low` and `high`."""


async def stretch(
    desk: Desk, type_name: str, twin: str, fields: list[str], start_ns: int | None, stop_ns: int
) -> dict[str, Points]:
    """History of several fields, oldest first.

    Args:
        desk: What pages work with.
        type_name: Of the twin.
        twin: Whose.
        fields: Which.
        start_ns: UTC nanoseconds; None for the first point that there is.
        stop_ns: UTC nanoseconds, inclusive.

    Raises:
        StoreUnavailableError: the store does not answer in time.
    """
    reader = desk.services.series

    async def one(field: str) -> Points:
        begin_ns = start_ns
        if begin_ns is None:
            first = await reader.series(type_name, twin, field, None, stop_ns, 1)
            begin_ns = first.time_ns[0] if first.time_ns else stop_ns
        found = await reader.buckets(type_name, twin, field, begin_ns, stop_ns, BUCKETS)
        if sum(found.number) > _FEW:
            return of_buckets(found)
        return of_points(await reader.series(type_name, twin, field, begin_ns, stop_ns, _FEW))

    try:
        async with asyncio.timeout(_TIMEOUT_S):
            found = await asyncio.gather(*(one(field) for field in fields))
    except TimeoutError:
        message = f"no answer within {_TIMEOUT_S:.0f} s"
        raise StoreUnavailableError(message) from None
    return dict(zip(fields, found, strict=True))


def of_points(series: Series) -> Points:
    """Every point."""
    return {"time_ms": [time_ns / 1e6 for time_ns in series.time_ns], "value": series.value}


def of_buckets(found: Buckets) -> Points:
    """The mean of each stretch, between its least and its most."""
    times = [time_ns / 1e6 for time_ns in found.time_ns]
    return {"time_ms": times, "value": found.mean, "low": found.low, "high": found.high}
