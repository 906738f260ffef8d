"""The history of a field, page by page, from whatever answers pages of it."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from connectors.series import SERIES_LIMIT, Series

Ask = Callable[[int | None, int], Awaitable[Series]]
"""Answers the oldest points of a stretch: from a time on, None for where it begins, and at most so many."""


class History(NamedTuple):
    """Points of one field.

    Attributes:
        points: Oldest first.
        cut: Whether there are more.
    """

    points: Series
    cut: bool


async def read_history(ask: Ask, most: int | None = None) -> History:
    """Read a stretch from its beginning.

    Args:
        ask: One page of it.
        most: How many points are enough, at least 1; None for all.
    """
    found = Series()
    while True:
        limit = SERIES_LIMIT if most is None else min(SERIES_LIMIT, most + 2 - len(found.time_ns))
        page = await ask(found.time_ns[-1] if found.time_ns else None, limit)
        # It begins with the last point of the page before: the next nanosecond may lie behind the stretch's end.
        found.time_ns[-1:] = page.time_ns
        found.value[-1:] = page.value
        if most is not None and len(found.time_ns) > most:
            return History(Series(found.time_ns[:most], found.value[:most]), cut=True)
        if len(page.time_ns) < limit:
            return History(found, cut=False)
