"""A worker with many rows is killed, and another goes on with them."""

import asyncio
import time
from dataclasses import dataclass

from faults.run import Run, until
from faults.site import PARTITIONS, TOPICS, Site
from faults.watch import Watch
from support.worker_process import WorkerProcess

_UNBOUNDED = 10**9
_SESSION_S = 6.0
_HALF = PARTITIONS // 2


@dataclass(frozen=True)
class TakeOver:
    """A killed worker's partitions go on at once where their rows were kept warm, however many there are.

    Attributes:
        rows: Twins, each of which has a row.
        fill_per_second: Rate of their first records.
        per_second: Rate of the load when the worker is killed.
    """

    rows: int = 1_000_000
    fill_per_second: float = 25_000.0
    per_second: float = 800.0

    async def play(self, run: Run) -> None:
        """Fill, wait until all is warm, kill one of two, and look how long any partition is silent."""
        async with Site(run, twins=self.rows) as site:
            workers = [site.worker(), site.worker()]
            await site.ready(*workers)
            await site.send_one_each(self.fill_per_second)
            run.say(f"caught up after {await site.drained():.0f} s")
            await until(lambda: all(map(_is_balanced_and_warm, workers)), "both own half and keep half warm", 120)
            kept_bytes = workers[1].figure("twinstream_standby_bytes")
            cold = workers[1].figure("twinstream_restores_total", rows="cold")
            run.say(f"balanced and warm, {kept_bytes / 1e6:.0f} MB of rows for the other one")
            ended = asyncio.Event()
            sending = asyncio.create_task(site.send(_UNBOUNDED, self.per_second, ended))
            async with Watch(site.options, TOPICS.timeseries) as watch:
                await asyncio.sleep(2)
                killed_s = time.monotonic()
                workers[0].kill()
                await until(lambda: workers[1].figure("twinstream_partitions") == PARTITIONS, "one owns all", 120)
                await asyncio.sleep(2)
                silent_s, heard = watch.longest_silence_s(killed_s), watch.partitions
            ended.set()
            await sending
            await site.drained()
            run.exactly("partitions whose outputs were watched", PARTITIONS, heard)
            cold = workers[1].figure("twinstream_restores_total", rows="cold") - cold
            run.exactly("partitions that were read from their beginning", 0, round(cold))
            run.at_least("bytes of rows that were kept warm", self.rows // 2 * 50, round(kept_bytes))
            run.at_most("silence of a partition after the kill", _SESSION_S + 2, silent_s, "s")


def _is_balanced_and_warm(worker: WorkerProcess) -> bool:
    names = ("partitions", "standby_partitions", "standby_warm")
    return [worker.figure(f"twinstream_{name}") for name in names] == [_HALF] * len(names)
