"""Kafka is away while devices go on."""

import asyncio
import time
from dataclasses import dataclass

from faults.entrances import MqttEntrance
from faults.memory import Memory
from faults.run import Run
from faults.scenarios.bridge_kills import bridge_of, carried_over, publish
from faults.site import Site

_POLL_S = 0.1


@dataclass(frozen=True)
class KafkaAway:
    """While Kafka is away nothing is lost and memory stays bounded, and everything goes on by itself.

    Attributes:
        away_s: How long.
        per_second: At which devices publish, before, meanwhile and after.
        before_s: Of load.
    """

    away_s: float = 60.0
    per_second: float = 2000.0
    before_s: float = 10.0

    async def play(self, run: Run) -> None:
        """Kill Kafka under load, start it again, and look when the first record comes and when all have."""
        async with Site(run) as site, MqttEntrance(run.folder) as entrance:
            worker, bridge = site.worker(), bridge_of(site, entrance)
            await site.ready(worker, bridge)
            await publish(site, entrance, round(self.before_s * self.per_second), self.per_second)
            await carried_over(site)
            async with Memory({"worker": worker.pid, "bridge": bridge.pid}) as memory:
                seconds = self.before_s + self.away_s + self.before_s
                publishing = asyncio.create_task(
                    publish(site, entrance, round(seconds * self.per_second), self.per_second)
                )
                await asyncio.sleep(self.before_s)
                before = await site.arrived()
                await site.kafka.kill()
                run.say(f"Kafka is away, {before} records are in the input topic")
                await asyncio.sleep(self.away_s)
                await site.kafka.start()
                back_s = time.monotonic()
                before = await site.arrived()
                while await site.arrived() == before:  # noqa: ASYNC110 - Kafka has no event for it
                    await asyncio.sleep(_POLL_S)
                run.at_most("first record after Kafka answered again", 10.0, time.monotonic() - back_s, "s")
                stepped = await _stepped(site)
                while await _stepped(site) <= stepped:  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(_POLL_S)
                run.at_most("first block stepped after Kafka answered again", 10.0, time.monotonic() - back_s, "s")
                await publishing
                await carried_over(site)
                await site.drained()
                run.say(f"all is worked off {time.monotonic() - back_s:.0f} s after Kafka was back")
                for role in ("worker", "bridge"):
                    run.at_most(f"growth of the {role}'s memory", 64.0, memory.most_above_start_mb(role), "MB")
            run.exactly("roles that had to be started again", 0, sum(not role.running() for role in (worker, bridge)))
            await site.compare()


async def _stepped(site: Site) -> int:
    """Records that were committed, or fewer where some came meanwhile."""
    arrived = await site.arrived()
    return arrived - await site.lag()
