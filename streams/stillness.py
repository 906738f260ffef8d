"""Which partitions stand still although more and more waits in them: nobody else notices a worker that merely hangs."""

from collections.abc import Mapping
from dataclasses import dataclass

ASSIGNMENT = -1
"""Stands for the assignment of all partitions while that is under way; its input is that of all."""


@dataclass(frozen=True, slots=True)
class Look:
    """A partition at one moment.

    Attributes:
        position: Next offset according to the last committed transaction.
        steps: Counts whatever else shows that it gets on, such as what an opening has read.
        excused: It stands still for a reason that is known and told: it waits for a version, can't join its
            group, or tries again and again.
    """

    position: int
    steps: int = 0
    excused: bool = False


@dataclass(slots=True)
class _Still:
    """Since a partition last got on: where it stood, where its input ended then, and how long that was counted."""

    position: int
    steps: int
    end: int | None
    seconds: float = 0.0


class Stillness:
    """Adds up how long each partition stood still; reads no clock and asks nobody.

    Args:
        limit_s: Longest time.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._still: dict[int, _Still] = {}

    def look(self, seen: Mapping[int, Look], ends: Mapping[int, int], passed_s: float) -> dict[int, float]:
        """Take in a look at all partitions that are owned.

        Args:
            seen: By partition, and `ASSIGNMENT`.
            ends: Where their inputs end; nothing of those that nobody asked for.
            passed_s: Since the look before, no more than may be counted of it: time in which nobody looked, such as of
                a process that was frozen, says nothing.

        Returns:
            Seconds by partition, for those that stood still for too long while their inputs grew.
        """
        self._still = {number: still for number, still in self._still.items() if number in seen}
        stuck = {}
        for number, look in seen.items():
            end = (sum(ends.values()) if ends else None) if number == ASSIGNMENT else ends.get(number)
            still = self._still.get(number)
            moved = still is None or (still.position, still.steps) != (look.position, look.steps)
            if still is None or moved or (end is not None and end <= look.position):
                self._still[number] = _Still(look.position, look.steps, end)
                continue
            still.end = end if still.end is None else still.end
            if not look.excused:
                still.seconds += passed_s
                if still.seconds >= self._limit_s and end is not None and end > (still.end or 0):
                    stuck[number] = still.seconds
        return stuck
