"""How long somebody else's code may take: seconds of computing, so that other work on the machine is not its fault."""

from schemas.clock import SystemClock, computed_s

_BUSY = 4.0


class Patience:
    """Runs from its making on.

    Args:
        limit_s: Over when this process has computed for so long, and as long has gone by, as several of its threads may
            compute at a time; or when some times as long has gone by, without computing.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._clock = SystemClock()
        self._began_s, self._computed_s = self._clock.monotonic_s(), computed_s()

    def is_over(self) -> bool:
        """Whether it took too long."""
        passed_s, computing_s = self._clock.monotonic_s() - self._began_s, computed_s() - self._computed_s
        return min(passed_s, computing_s) >= self._limit_s or passed_s >= _BUSY * self._limit_s
