"""What left for a broker, and whose outcomes are not yet known to be durable."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from connectors.dispatch import Plan
from connectors.hang_ups import Target
from schemas.clock import Clock

MOST_RECORDS = 2000
"""So many are settled at the latest, so that no more come again after a failure."""
_LONGEST_S = 0.5
"""So long after the first of them, records are settled at the latest."""


@dataclass
class Unsettled:
    """Records whose messages the broker has, but whose outcomes are not known to be durable: nothing is committed.

    Attributes:
        records: How many.
        targets: Their messages.
        written: Their outcomes that may still fail.
        due_s: When they are settled at the latest.
    """

    records: int = 0
    targets: list[Target] = field(default_factory=list)
    written: list[asyncio.Future[Any]] = field(default_factory=list)
    due_s: float = 0.0

    def add(self, made: Plan, records: int, clock: Clock) -> None:
        """Some more records, of which `made` was planned."""
        self.due_s = self.due_s or clock.monotonic_s() + _LONGEST_S
        self.records += records
        self.targets += [target for dispatch in made.dispatches for target in dispatch.targets()]

    def check(self) -> None:
        """Raise what an outcome could not be written for; forget those that are durable."""
        for one in self.written:
            if one.done():
                one.result()
        self.written = [one for one in self.written if not one.done()]

    @property
    def room(self) -> int:
        """How many more may be read."""
        return MOST_RECORDS - self.records

    def is_due(self, clock: Clock) -> bool:
        """Whether they are many or old."""
        return not self.room or clock.monotonic_s() >= self.due_s
