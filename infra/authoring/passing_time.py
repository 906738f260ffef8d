"""The ticks between the rows of a recording: those that the owner of a partition would have written meanwhile."""

from collections.abc import Callable, Iterable, Iterator

from infra.authoring.recording import Row
from schemas.clock import LATEST_NS, NS_PER_S

MOST_TICKS = 100_000
"""Between two rows: after a longer silence there is nothing new to be seen."""


def with_ticks(
    rows: Iterable[Row], tick_s: float, left_out: Callable[[Row, int], None], then_s: float = 0.0
) -> Iterator[Row | int]:
    """Rows, each after the ticks that are due by its time; none before the first row.

    A row arrives at its own event time, so that ticks tell the multiples of their period since the row before. A row
    that goes back in time moves nothing.

    Args:
        rows: In the order of the file.
        tick_s: Period of ticks; 0 for none.
        then_s: So long ticks go on after the last row.
        left_out: Is told of a row before which more than `MOST_TICKS` are due, and how many were left out.

    Yields:
        Rows, and the times of ticks in UTC nanoseconds.
    """
    period_ns = round(tick_s * NS_PER_S)
    reached_ns = None
    for row in rows:
        if period_ns and row.time_ns is not None:
            now_ns = min(row.time_ns, LATEST_NS)
            if reached_ns is not None:
                due = range((reached_ns // period_ns + 1) * period_ns, now_ns + 1, period_ns)
                yield from due[:MOST_TICKS]
                if len(due) > MOST_TICKS:
                    left_out(row, len(due) - MOST_TICKS)
            reached_ns = now_ns if reached_ns is None else max(reached_ns, now_ns)
        yield row
    if then_s and period_ns and reached_ns is not None:
        end_ns = reached_ns + round(then_s * NS_PER_S)
        yield from range((reached_ns // period_ns + 1) * period_ns, end_ns + period_ns, period_ns)
