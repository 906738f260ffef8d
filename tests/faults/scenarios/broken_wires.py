"""Connections that are cut, stall half-open or crawl, in front of the broker and of Kafka."""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Literal

from faults.breakable import Breakable
from faults.dealing import deals
from faults.entrances import MqttEntrance
from faults.proxy import Proxy
from faults.run import Run, until
from faults.scenarios.bridge_kills import bridge_of, carried_over, publish
from faults.site import Site
from faults.wired_kafka import WiredKafka

Hurt = Literal["cut", "half-open", "slow"]
HURTS: tuple[Hurt, ...] = ("cut", "half-open", "slow")
_SLOW_BYTES_PER_S = 20_000.0


@dataclass(frozen=True)
class BrokenWires:
    """Connections to broker and Kafka that are cut, stall half-open or crawl change no state and no output.

    Attributes:
        rounds: In each both wires are hurt once, one after the other.
        per_second: At which devices publish.
        hurt_s: How long a wire is half-open or slow; sessions end after 6 s.
    """

    rounds: int = 9
    per_second: float = 500.0
    hurt_s: float = 9.0

    def schedule(self, rng: Random) -> list[tuple[Hurt, Hurt]]:
        """What happens to the broker's wire and to Kafka's; every kind once in three rounds."""
        order = [rng.sample(HURTS, len(HURTS)) for _ in range(2)]
        return [(order[0][number % 3], order[1][number % 3]) for number in range(self.rounds)]

    async def play(self, run: Run) -> None:
        """Hurt the wires under load."""
        async with Proxy() as kafka_wire, Proxy() as broker_wire:
            kafka = Breakable(lambda port: WiredKafka(run.folder, port, kafka_wire.port))
            async with Site(run, kafka=kafka) as site, MqttEntrance(run.folder) as entrance:
                kafka_wire.target, broker_wire.target = kafka.now.wired_port, entrance.port
                site.address = f"127.0.0.1:{kafka_wire.port}"
                roles = [site.worker(), site.worker(), bridge_of(site, entrance, broker_wire.port)]
                await site.ready(*roles)
                without, evictions = 0, 0
                for number, hurts in enumerate(self.schedule(run.rng)):
                    records = round(2 * (self.hurt_s + 1) * self.per_second)
                    publishing = asyncio.create_task(publish(site, entrance, records, self.per_second))
                    for wire, name, hurt in ((broker_wire, "MQTT", hurts[0]), (kafka_wire, "Kafka", hurts[1])):
                        await asyncio.sleep(run.rng.random())
                        run.say(f"round {number + 1}: the wire to {name} is {hurt}")
                        before = deals(roles[:2])
                        without += not await self._hurt(wire, hurt)
                        if (name, hurt) == ("Kafka", "half-open"):
                            # Sessions ended meanwhile: who is back is given its partitions anew.
                            await until(lambda before=before: deals(roles[:2]) > before, "workers were shut out")  # type: ignore[misc]
                            evictions += 1
                    await publishing
                await carried_over(site)
                await site.drained()
                run.say(f"{evictions} times workers lost their sessions and came back")
                run.exactly("hurts that met no connection, or no byte on it", 0, without)
                run.at_least("connections that were cut, and bytes that were held", 1, _met(kafka_wire, broker_wire))
                run.exactly("roles that had to be started again", 0, sum(not role.running() for role in roles))
                await site.compare()

    async def _hurt(self, wire: Proxy, hurt: Hurt) -> bool:
        """Do it while somebody is connected; return whether anybody could notice."""
        await until(lambda: wire.connections > 0, "somebody uses the wire")
        before = _met(wire)
        if hurt == "cut":
            wire.cut()
            return _met(wire) > before
        if hurt == "slow":
            wire.slow(_SLOW_BYTES_PER_S)
        else:
            wire.stall()
        await asyncio.sleep(self.hurt_s)
        wire.resume()
        return _met(wire) > before


def _met(*wires: Proxy) -> int:
    return sum(wire.broken + wire.held_bytes for wire in wires)
