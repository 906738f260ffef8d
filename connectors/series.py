"""Ports of time-series stores: what the sink writes through, and what the API reads through.

A technology's folder implements them; `connectors.memory` is the reference. Errors: `connectors.stores`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from connectors.stores import Block

SERIES_LIMIT = 100_000
"""Most points that one call of `SeriesReader.series` answers."""
BUCKETS_LIMIT = 10_000
"""Most buckets that one call of `SeriesReader.buckets` answers."""
TIME_MIN_NS = -(2**63) + 2
TIME_MAX_NS = 2**63 - 3
"""Times outside these are refused: the widest range that every store can hold."""


class SeriesSink(Protocol):
    """A time-series store, seen by the sink role; one task calls it, never two at once."""

    async def __aenter__(self) -> Self:
        """Take resources; a server that is away is no error here.

        Raises:
            SetupError: the surroundings are wrong; the role ends with the message.
        """

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of everything; what `write` returned for stays stored."""

    async def write(self, blocks: Sequence[Block]) -> None:
        """Store blocks, in this order; returns once they are durable, and the caller then commits the log.

        Writing the same blocks again changes nothing. A later point with the same measurement, tags, field and time
        replaces the earlier one.

        Raises:
            StoreUnavailableError: nothing is promised; the caller repeats the call with the same blocks.
            StoreRefusedError: see there.
            ValueError: something in it can't be expressed, and nothing is promised; the caller finds it by halves.
            SetupError: the server answers but can't be used as configured; the role ends with the message.
        """


@runtime_checkable
class PositionedSeriesSink(SeriesSink, Protocol):
    """A time-series store that keeps the log's positions in the same transaction as the points."""

    async def positions(self) -> Mapping[tuple[str, int], int]:
        """Next offset per (topic, partition); the caller reads on from here after every assignment, 0 when absent."""


@dataclass(slots=True)
class Series:
    """Points of one field, oldest first, at most one per time.

    Attributes:
        time_ns: UTC nanoseconds.
        value: As many as `time_ns`.
    """

    time_ns: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Buckets:
    """What the points of one field come to in stretches of equal length, oldest first; those without points are absent.

    Attributes:
        time_ns: Where each begins, UTC nanoseconds.
        low: Smallest value in it.
        high: Largest value in it.
        mean: Mean of its values.
        number: How many there are.
    """

    time_ns: list[int] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    number: list[int] = field(default_factory=list)


def bucket_width(start_ns: int, stop_ns: int, count: int) -> int:
    """Length of the fewest equal stretches, at most `count`, that hold `start_ns` to `stop_ns`, both inclusive.

    Raises:
        ValueError: the range is empty, or not within the times that a store holds; or `count` is outside its range.
    """
    if not 1 <= count <= BUCKETS_LIMIT:
        message = f"the number of buckets must be 1 to {BUCKETS_LIMIT}"
        raise ValueError(message)
    if not TIME_MIN_NS <= start_ns <= stop_ns <= TIME_MAX_NS:
        message = f"{start_ns} to {stop_ns} is no range of time"
        raise ValueError(message)
    return -(-(stop_ns - start_ns + 1) // count)


class SeriesReader(Protocol):
    """History of twins, seen by the API role; many tasks call it at once."""

    async def series(
        self, type_name: str, twin: str, field: str, start_ns: int | None, stop_ns: int | None, limit: int
    ) -> Series:
        """The oldest `limit` points with `start_ns` <= time <= `stop_ns`; empty for what was never written.

        Args:
            type_name: Qualified type name, the measurement.
            twin: Twin id.
            field: Output field.
            start_ns: UTC nanoseconds, None for no bound.
            stop_ns: UTC nanoseconds, None for no bound.
            limit: 1 to `SERIES_LIMIT`.

        Raises:
            StoreUnavailableError: the caller answers that history is not to be had now.
            ValueError: `limit` is outside its range.
        """

    async def buckets(self, type_name: str, twin: str, field: str, start_ns: int, stop_ns: int, count: int) -> Buckets:
        """What the points with `start_ns` <= time <= `stop_ns` come to in at most `count` stretches of equal length.

        Of a time that was written more than once the last value counts, or each does.

        Raises:
            StoreUnavailableError: the caller answers that history is not to be had now.
            ValueError: as for `bucket_width`.
        """
