"""A store whose disk is full."""

import asyncio
from dataclasses import dataclass

from faults.breakable import Breakable
from faults.run import Run
from faults.scenarios.stores_away import DOCUMENTS, SERIES, UNBOUNDED, Stores
from faults.site import Site
from faults.small_disk import SmallDisk, SmallInfluxDb

_DISK_MB = 160


@dataclass(frozen=True)
class FullDisk:
    """A store whose disk was full takes what it missed when it has space, and is started again.

    InfluxDB does not try again by itself to open what it could not open on a full disk.

    Attributes:
        full_s: How long.
        per_second: Rate of the load.
    """

    full_s: float = 60.0
    per_second: float = 300.0

    async def play(self, run: Run) -> None:
        """Fill InfluxDB's disk under load, free it, and start InfluxDB again."""
        async with SmallDisk(run.folder / "disk", _DISK_MB) as disk:
            influx = Breakable(lambda port: SmallInfluxDb(disk, port))
            async with Site(run, twins=50) as site, Stores(site, influx) as stores:
                await site.ready(site.worker())
                ended = asyncio.Event()
                sending = asyncio.create_task(site.send(UNBOUNDED, self.per_second, ended))
                await asyncio.sleep(4)
                disk.fill()
                await asyncio.sleep(2)
                run.say("the disk is full")
                before, other = await stores.progress(*SERIES), await stores.progress(*DOCUMENTS)
                await asyncio.sleep(self.full_s)
                run.exactly("offsets committed by its own sink meanwhile", 0, await stores.progress(*SERIES) - before)
                run.at_least("times that its sink said so", 1, stores.aways(0))
                run.at_least("stored by the other sink meanwhile", 1, await stores.progress(*DOCUMENTS) - other)
                disk.free()
                await influx.kill()
                await influx.start()
                ended.set()
                await sending
                await site.drained()
                await stores.compare(run)
                await site.compare()
