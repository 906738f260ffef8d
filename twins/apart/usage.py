"""How much of its limits a call has used up: computing and waiting count, a machine that is busy does not."""

import psutil

from schemas.clock import Clock, SystemClock

IMPORTING_S = 2.0
"""A call that imports a module for the first time may take so much longer."""

_MOST_AT_ONCE_S = 0.1
"""What counts between two looks: this process may have stood still itself."""

_BUSY = 4.0
"""However busy the machine is, a call is over after so many times its limit."""

_NOT_COUNTED = {psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP}


class Usage:
    """One process, looked at from time to time.

    Args:
        pid: Of the process.
    """

    def __init__(self, pid: int, clock: Clock | None = None) -> None:
        self._process = psutil.Process(pid)
        self._clock = clock or SystemClock()
        self._before_bytes = self._process.memory_info().rss
        self._threads = self._process.num_threads()
        self._waits = False
        self._call = -1
        self._began_s = self._looked_s = self._computed_s = self._used_s = 0.0

    def look(self, call: int) -> None:
        """Count what was used since the look before, for a call that differs from the one before."""
        now_s = self._clock.monotonic_s()
        with self._process.oneshot():
            times = self._process.cpu_times()
            is_waiting = self._waits = self._process.status() not in _NOT_COUNTED
        computed_s = times.user + times.system
        if call == self._call:
            passed_s = min(now_s - self._looked_s, _MOST_AT_ONCE_S)
            self._used_s += passed_s if is_waiting else min(passed_s, computed_s - self._computed_s)
        else:
            self._call, self._began_s, self._used_s = call, now_s, 0.0
        self._looked_s, self._computed_s = now_s, computed_s

    def forget(self) -> None:
        """No call is in work any more."""
        self._call = -1

    def is_over(self, limit_s: float) -> bool:
        """Whether the call took too long."""
        return self._used_s >= limit_s or self._looked_s - self._began_s >= _BUSY * limit_s

    @property
    def stood_s(self) -> float:
        """How long the call is known to last."""
        return self._looked_s - self._began_s

    @property
    def computes_alone(self) -> bool:
        """Whether the call computes, as far as is known, and the process has no more threads than at the beginning."""
        try:
            return not self._waits and self._process.num_threads() <= self._threads
        except (psutil.Error, OSError):
            return False

    def grown_mb(self) -> float:
        """How much more memory is used than at the beginning, MiB."""
        return (self._process.memory_info().rss - self._before_bytes) / (1 << 20)
