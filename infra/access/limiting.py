"""How often somebody may call: token buckets."""

from collections import OrderedDict

from schemas.clock import Clock, SystemClock

BURST_S = 10.0
"""So many seconds' worth of requests may come at once."""
_MOST_CALLERS = 10_000


class Limiter:
    """One bucket for each caller; those not heard of longest are forgotten, which is as if they had waited.

    Args:
        per_s: Requests per second over time.
        clock: Where to ask for the time.
    """

    def __init__(self, per_s: float, clock: Clock | None = None) -> None:
        self._per_s = per_s
        self._burst = per_s * BURST_S
        self._clock = clock or SystemClock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: str) -> float:
        """Take one request; 0.0 when it may go on, else after how many seconds the next one may."""
        now_s = self._clock.monotonic_s()
        left, then_s = self._buckets.pop(caller, (self._burst, now_s))
        left = min(self._burst, left + (now_s - then_s) * self._per_s)
        permitted = left >= 1.0
        self._buckets[caller] = (left - 1.0 if permitted else left), now_s
        while len(self._buckets) > _MOST_CALLERS:
            self._buckets.popitem(last=False)
        return 0.0 if permitted else (1.0 - left) / self._per_s
