"""One twin that sends far more than its neighbours."""

import asyncio
import time
from dataclasses import dataclass

import numpy as np
from faults.run import Run
from faults.site import TOPICS, Site
from faults.watch import Watch

from streams.log.writer import LogWriter

_LOUD = 0
_TICK_S = 0.01


@dataclass(frozen=True)
class LoudTwin:
    """A twin with 30 % of the traffic at most doubles the latency of the others (99th percentile).

    Attributes:
        per_second: Rate of all twins together.
        seconds: Of each measurement.
        pairs: Measurements without and with the loud one, in turns.
    """

    per_second: float = 2000.0
    seconds: float = 10.0
    pairs: int = 5

    async def play(self, run: Run) -> None:
        """Measure with even traffic and with 30 % of it by one twin."""
        async with Site(run) as site:
            await site.ready(site.worker(), site.worker())
            ratios = []
            async with Watch(site.options, TOPICS.timeseries) as watch:
                await self._p99_s(site, watch, 0.0)
                for _ in range(self.pairs):
                    even_s, loud_s = [await self._p99_s(site, watch, share) for share in (0.0, 0.3)]
                    ratios.append(loud_s / even_s)
                    run.say(
                        f"99th percentile of the others {even_s * 1000:.0f} ms, beside the loud one {loud_s * 1000:.0f}"
                    )
            run.at_most("the others' latency beside the loud one, median of pairs", 2.0, float(np.median(ratios)), "")
            wanted = round(0.25 * self.pairs * self.seconds * self.per_second)
            run.at_least("records of the loud twin", wanted, site.load.sent[_LOUD])
            await site.compare()

    async def _p99_s(self, site: Site, watch: Watch, share: float) -> float:
        watch.forget()
        rng = site.run.rng
        began_s, sent = time.monotonic(), 0
        async with LogWriter(site.options, linger_ms=2) as writer:
            last = None
            while sent < self.seconds * self.per_second:
                due = round((time.monotonic() - began_s) * self.per_second) + 1
                for _ in range(due - sent):
                    twin = _LOUD if rng.random() < share else rng.randrange(1, site.load.twins)
                    name, payload = site.load.next(twin)
                    last = await writer.send(TOPICS.telemetry, name.encode(), payload)
                sent = due
                await asyncio.sleep(_TICK_S)
            assert last is not None
            await last
        await site.drained()
        await asyncio.sleep(1)
        others = [
            latency for name, found in watch.latencies_s.items() if name != site.load.name(_LOUD) for latency in found
        ]
        return float(np.percentile(others, 99))
