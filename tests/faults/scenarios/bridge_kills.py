"""Bridges are killed under load."""

import asyncio
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

from faults.entrances import AmqpEntrance, Entrance, MqttEntrance
from faults.run import Run
from faults.site import TOPICS, Site
from support.role_process import RoleProcess

_TICK_S = 0.02
_QUIET_S = 3.0
_LOST_S = 30.0
"""After so long without a record what is still missing is lost, and is counted as such."""


async def publish(site: Site, entrance: Entrance, records: int, per_second: float) -> None:
    """Numbered records of drawn twins at a steady rate, until the broker has them."""
    began_s, sent = time.monotonic(), 0
    while sent < records:
        due = min(records, round((time.monotonic() - began_s) * per_second) + 1)
        await entrance.publish([site.load.next() for _ in range(due - sent)])
        sent = due
        await asyncio.sleep(_TICK_S)
    await entrance.confirmed()


def bridge_of(site: Site, entrance: Entrance, port: int = 0) -> RoleProcess:
    """The next life of the one bridge of an entrance."""
    name = f"bridge:{entrance.broker}"
    return site.role("bridge", entrance.broker, name=name, folder="bridge", **entrance.environment(port))


async def carried_over(site: Site, timeout_s: float = 300.0) -> None:
    """Wait until everything that was sent is in the input topic, and nothing comes any more."""
    deadline_s, seen, quiet_since_s = time.monotonic() + timeout_s, -1, time.monotonic()
    while True:
        found = await site.arrived()
        if found != seen:
            seen, quiet_since_s = found, time.monotonic()
        elif time.monotonic() - quiet_since_s > (_QUIET_S if seen >= site.load.count else _LOST_S):
            return
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{seen} of {site.load.count} records in {TOPICS.telemetry} after {timeout_s:g} s")
        await asyncio.sleep(0.3)


@dataclass(frozen=True)
class BridgeKills(ABC):
    """What every bridge promises.

    Attributes:
        records: In all, spread over the rounds.
        kills: Rounds.
        per_second: At which devices publish.
    """

    records: int = 200_000
    kills: int = 20
    per_second: float = 4000.0

    @abstractmethod
    def entrance(self, run: Run) -> Entrance:
        """The broker."""

    async def play(self, run: Run) -> None:
        """Kill the bridge in every round while its share of the load is published, and start it again."""
        async with Site(run) as site, self.entrance(run) as entrance:
            bridge = bridge_of(site, entrance)
            await site.ready(site.worker(), bridge)
            idle = 0
            for number in range(self.kills):
                share = (number + 1) * self.records // self.kills - site.load.count
                publishing = asyncio.create_task(publish(site, entrance, share, self.per_second))
                await site.underway(share)
                idle += publishing.done()
                bridge.kill()
                bridge = bridge_of(site, entrance)
                await publishing
                await site.ready(bridge)
                run.say(f"kill {number + 1}: {await site.arrived()} of {site.load.count} are in the input topic")
            await carried_over(site)
            await site.drained()
            run.exactly("kills while nothing was published", 0, idle)
            copies = await site.compare()
            run.no_more("copies of records for each kill", entrance.in_flight, -(-copies // self.kills))


@dataclass(frozen=True)
class MqttBridgeKills(BridgeKills):
    """A bridge of MQTT that is killed under load loses nothing, and every copy that it makes is recognised."""

    def entrance(self, run: Run) -> Entrance:
        """Mosquitto."""
        return MqttEntrance(run.folder)


@dataclass(frozen=True)
class ClassicQueueBridgeKills(BridgeKills):
    """A bridge of AMQP with a classic queue loses nothing when it is killed, and every copy is recognised."""

    def entrance(self, run: Run) -> Entrance:
        """RabbitMQ."""
        return AmqpEntrance(run.folder, "classic")


@dataclass(frozen=True)
class QuorumQueueBridgeKills(BridgeKills):
    """A bridge of AMQP with a quorum queue loses nothing when it is killed, and every copy is recognised."""

    def entrance(self, run: Run) -> Entrance:
        """RabbitMQ."""
        return AmqpEntrance(run.folder, "quorum")
