"""Noticing a step that does not come to an end: nothing inside of the process could stop compiled code."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from infra.supervisor.roster import Mark
from infra.supervisor.step_mark import read_mark
from schemas.clock import Clock

_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Watchdog:
    """Watches the mark of a child.

    Attributes:
        mark: Where the child notes what it steps, and since when. What it does before its first block, such as
            compiling, is not timed.
        step_timeout_s: Longest time for one block of records.
    """

    mark: Path
    step_timeout_s: float

    async def barks(self, clock: Clock) -> Mark:
        """Wait until the child has been at one mark for too long; return it."""
        seen = None
        while True:
            await asyncio.sleep(min(_LOOK_S, self.step_timeout_s / 4))
            found = read_mark(self.mark)
            if found is not None and found == seen and clock.monotonic_s() - found.since_s > self.step_timeout_s:
                return found.mark
            seen = found
