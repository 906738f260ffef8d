"""Time as data: the only module that reads a clock."""

import time
from typing import Protocol

NS_PER_S = 1_000_000_000
LATEST_NS = 9_000_000_000_000_000_000
"""In the year 2255; what is added to such a time still fits an int64."""
_RUNNING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Where a component asks for the time; pass `ManualClock` in tests."""

    def now_ns(self) -> int:
        """UTC, nanoseconds since the Unix epoch."""

    def monotonic_s(self) -> float:
        """Seconds that never go backwards; only differences mean anything."""

    def running_s(self) -> float:
        """The same, which go on while the host sleeps."""


class SystemClock:
    """The host's clocks."""

    def now_ns(self) -> int:
        """UTC, nanoseconds since the Unix epoch."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """Seconds that never go backwards; only differences mean anything."""
        return time.monotonic()

    def running_s(self) -> float:
        """The same, which go on while the host sleeps, where the system can tell."""
        return time.clock_gettime(_RUNNING)


def computed_s() -> float:
    """Seconds that this process has computed, in all of its threads."""
    return time.process_time()


class AnchoredClock:
    """UTC as it was when this clock was made, plus the seconds since: it never jumps, whatever is done to the host's.

    Args:
        clock: Both are taken from it; the host's clocks, if none is given.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._start_ns, self._start_s = self._clock.now_ns(), self._clock.running_s()

    def now_ns(self) -> int:
        """UTC, nanoseconds since the Unix epoch."""
        return self._start_ns + round((self._clock.running_s() - self._start_s) * NS_PER_S)

    def monotonic_s(self) -> float:
        """Seconds that never go backwards; only differences mean anything."""
        return self._clock.monotonic_s()

    def running_s(self) -> float:
        """The same, which go on while the host sleeps."""
        return self._clock.running_s()


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns
        self._monotonic_s = 0.0

    def now_ns(self) -> int:
        """UTC, nanoseconds since the Unix epoch."""
        return self._now_ns

    def monotonic_s(self) -> float:
        """Seconds since this clock was made."""
        return self._monotonic_s

    def running_s(self) -> float:
        """Seconds since this clock was made."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Move all clocks forward by `seconds`."""
        self._now_ns += round(seconds * NS_PER_S)
        self._monotonic_s += seconds

    def jump(self, seconds: float) -> None:
        """Set UTC forward or back, as somebody does to a host's clock."""
        self._now_ns += round(seconds * NS_PER_S)
