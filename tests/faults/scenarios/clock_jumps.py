"""The clock of a worker's host jumps."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from faults.dealing import deals
from faults.jumping import JUMPED
from faults.run import Run
from faults.site import Site
from support.role_process import ROOT

_QUIET_S = 8.0


@dataclass(frozen=True)
class ClockJumps:
    """A host's clock that jumps by an hour, to and fro, changes no state, no output and no session.

    Attributes:
        jumps: Each to another time.
        ahead_s: How far, in either direction.
        seconds: Of load after each jump.
        per_second: Its rate.
    """

    jumps: int = 6
    ahead_s: int = 3600
    seconds: float = 10.0
    per_second: float = 800.0

    async def play(self, run: Run) -> None:
        """Let the clocks of two workers jump against one another under load."""
        async with Site(run) as site:
            clocks = [run.folder / f"clock-{number}" for number in range(2)]
            path = f"{ROOT}:{ROOT / 'tests'}"
            workers = [site.worker(("-m", "faults.jumping", str(clock)), PYTHONPATH=path) for clock in clocks]
            await site.ready(*workers)
            before = await _quiet(lambda: deals(workers))
            ahead_s = [0, 0]
            for _ in range(self.jumps):
                # Each jumps, to somewhere else than it was.
                ahead_s = [
                    run.rng.choice([one for one in (-self.ahead_s, 0, self.ahead_s) if one != now]) for now in ahead_s
                ]
                run.say(f"the clocks are ahead by {ahead_s} s")
                for clock, seconds in zip(clocks, ahead_s, strict=True):
                    clock.write_text(str(seconds))
                await site.send(round(self.seconds * self.per_second), self.per_second)
                run.at_most("until all is committed after a jump", 5.0, await site.drained(), "s")
            jumped = sum(worker.output().count(JUMPED) for worker in workers)
            run.exactly("jumps that workers' clocks made", len(workers) * self.jumps, jumped)
            run.exactly("times that partitions were dealt out anew", 0, deals(workers) - before)
            await site.compare()


async def _quiet(dealt: Callable[[], int]) -> int:
    """Wait until partitions are dealt out no more, as they are once a standby is warm; return how often they were."""
    while True:
        before = dealt()
        await asyncio.sleep(_QUIET_S)
        if dealt() == before:
            return before
