"""A site that runs for long, while workers come and go."""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faults.dealing import deals, owned
from faults.entrances import MqttEntrance
from faults.memory import Memory
from faults.run import Run, until
from faults.scenarios.bridge_kills import bridge_of, carried_over, publish
from faults.site import PARTITIONS, Site

if TYPE_CHECKING:
    from support.role_process import RoleProcess

_WARM_SHARE = 1 / 3
"""Of the time: pools and caches fill; growth counts from then on."""
_POLL_S = 0.5
_MISSED = 2
"""So many rebalances fewer than there is time for are enough: moving partitions takes some of it."""


@dataclass(frozen=True)
class Soak:
    """A site under steady load keeps its memory and is soon back after every rebalance.

    Attributes:
        minutes: In all.
        per_second: At which devices publish.
        rebalance_every_minutes: A worker joins, then it stops, and so on.
    """

    minutes: float = 30.0
    per_second: float = 2000.0
    rebalance_every_minutes: float = 5.0

    async def play(self, run: Run) -> None:
        """Publish, rebalance, and look at lag and memory."""
        async with Site(run) as site, MqttEntrance(run.folder) as entrance:
            worker, bridge = site.worker(), bridge_of(site, entrance)
            sink = site.role("sink", "timeseries", name="sink:timeseries", folder="sink")
            await site.ready(worker, bridge, sink)
            began_s = time.monotonic()
            pids = {"worker": worker.pid, "bridge": bridge.pid, "sink": sink.pid}
            async with Memory(pids) as memory:
                records = round(self.minutes * 60 * self.per_second)
                publishing = asyncio.create_task(publish(site, entrance, records, self.per_second))
                longest_s = await self._rebalances(run, site, worker, publishing)
                await publishing
                run.at_most("until lag was under 1 s again after a rebalance, longest", 30.0, longest_s, "s")
                warm_s = began_s + _WARM_SHARE * (time.monotonic() - began_s)
                for role in pids:
                    grown = f"growth of the {role}'s memory in the last two thirds"
                    run.at_most(grown, 5.0, memory.growth_mb(role, warm_s), "MB")
            await carried_over(site)
            await site.drained()
            run.exactly("roles that ended by themselves", 0, sum(not role.running() for role in (worker, bridge, sink)))
            await site.compare()

    async def _rebalances(self, run: Run, site: Site, first: "RoleProcess", publishing: "asyncio.Task[None]") -> float:
        """Let a second worker come and go; how long lag was above a second at most, until partitions had moved."""
        second: RoleProcess | None = None
        longest_s, tries, moves = 0.0, 0, 0
        while not publishing.done():
            await asyncio.wait((publishing,), timeout=self.rebalance_every_minutes * 60)
            if publishing.done():
                break
            before = deals([first])
            if second is None:
                second = site.worker()
                await site.ready(second)
                # Its partitions move once it has their rows.
                await until(lambda who=second: bool(owned(who)), "the second worker has partitions")  # type: ignore[misc]
            else:
                await asyncio.to_thread(second.stop)
                second = None
            began_s = time.monotonic()
            if second is None:
                await until(lambda: len(owned(first)) == PARTITIONS, "the first worker has all partitions")
            tries += 1
            moves += deals([first]) > before
            while (await site.lag()) > self.per_second:  # noqa: ASYNC110 - Kafka has no event for it
                await asyncio.sleep(_POLL_S)
            longest_s = max(longest_s, time.monotonic() - began_s)
            run.say(
                f"a worker {'joined' if second else 'left'}, lag under 1 s after {time.monotonic() - began_s:.1f} s"
            )
        run.exactly("rebalances that moved no partition", 0, tries - moves)
        run.at_least("rebalances", max(1, int(self.minutes / self.rebalance_every_minutes) - _MISSED), tries)
        return longest_s
