"""Workers join and leave as they should, under load."""

import asyncio
import time
from dataclasses import dataclass

import numpy as np
from faults.dealing import deals
from faults.run import Run
from faults.site import PARTITIONS, TOPICS, Site
from faults.watch import Watch

_UNBOUNDED = 10**9


@dataclass(frozen=True)
class CleanStops:
    """Workers that join and stop cleanly under load change nothing, and hand over at once.

    Attributes:
        rounds: In each one worker joins and the oldest stops.
        per_second: Rate of the load.
    """

    rounds: int = 20
    per_second: float = 800.0

    async def play(self, run: Run) -> None:
        """Join one, stop one, and look how long any partition is silent and how often partitions are dealt out."""
        async with Site(run) as site:
            workers = [site.worker(), site.worker()]
            await site.ready(*workers)
            ended = asyncio.Event()
            sending = asyncio.create_task(site.send(_UNBOUNDED, self.per_second, ended))
            handed_over_s: list[float] = []
            times: list[int] = []
            async with Watch(site.options, TOPICS.timeseries) as watch:
                for _ in range(self.rounds):
                    workers.append(site.worker())
                    await site.dealt_out(*workers)
                    await asyncio.sleep(2)
                    before, stopped_s = deals(workers[1:2]), time.monotonic()
                    code = await asyncio.to_thread(workers[0].stop)
                    assert code == 0, workers[0].output()[-2000:]
                    await asyncio.sleep(4)
                    handed_over_s.append(watch.longest_silence_s(stopped_s))
                    times.append(deals(workers[1:2]) - before)
                    run.say(f"stopped one, silent for {handed_over_s[-1]:.2f} s at most")
                    del workers[0]
                heard = watch.partitions
            ended.set()
            await sending
            await site.drained()
            run.exactly("partitions whose outputs were watched", PARTITIONS, heard)
            run.at_most("silence of a partition at a clean stop, median", 2.0, float(np.median(handed_over_s)), "s")
            run.at_most("silence of a partition at a clean stop, longest", 2.0, max(handed_over_s), "s")
            run.at_least("deals of partitions for one clean stop, fewest", 1, min(times))
            run.at_most("deals of partitions for one clean stop, most", 2, max(times), "")
            await site.compare()
