"""Workers join and leave as they should, under load."""

import asyncio
import time
from dataclasses import dataclass

import numpy as np
from faults.run import Run
from faults.site import TOPICS, Site
from faults.watch import Watch
from support.worker_process import WorkerProcess

_UNBOUNDED = 10**9
_ASSIGNED = "partitions assigned"


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
            handed_over_s, deals = [], 0
            async with Watch(site.options, TOPICS.timeseries) as watch:
                for _ in range(self.rounds):
                    workers.append(site.worker())
                    await site.ready(workers[-1])
                    await asyncio.sleep(2)
                    before, stopped_s = self._deals(workers[1]), time.monotonic()
                    code = await asyncio.to_thread(workers[0].stop)
                    assert code == 0, workers[0].output()[-2000:]
                    await asyncio.sleep(4)
                    handed_over_s.append(watch.longest_silence_s(stopped_s))
                    deals = max(deals, self._deals(workers[1]) - before)
                    run.say(f"stopped one, silent for {handed_over_s[-1]:.2f} s at most")
                    del workers[0]
            ended.set()
            await sending
            await site.drained()
            run.at_most("silence of a partition at a clean stop, median", 2.0, float(np.median(handed_over_s)), "s")
            run.at_most("silence of a partition at a clean stop, longest", 2.0, max(handed_over_s), "s")
            run.at_most("deals of partitions for one clean stop", 2, deals, "")
            await site.compare()

    def _deals(self, worker: WorkerProcess) -> int:
        return worker.output().count(_ASSIGNED)
