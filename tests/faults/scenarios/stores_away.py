"""Stores that are away while records come."""

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec
import pymongo
from faults.breakable import Breakable
from faults.run import Run
from faults.site import TOPICS, Site
from influxdb_client import InfluxDBClient
from support import oracle

from infra.bench.servers.influxdb import InfluxDb, find_influxd
from infra.embedded.documents import EmbeddedDocuments
from infra.roles.sink import METADATA_GROUP, TIMESERIES_GROUP
from schemas.errors import SetupError
from streams.log.admin import LogAdmin

if TYPE_CHECKING:
    from support.role_process import RoleProcess

UNBOUNDED = 10**9
SERIES = (TIMESERIES_GROUP, (TOPICS.timeseries,))
DOCUMENTS = (METADATA_GROUP, (TOPICS.commands, TOPICS.events, TOPICS.metadata))
"""Consumer group of each sink, and what it reads."""

_TIMEOUT_S = 60.0
_AWAY = "store is away"


class Stores:
    """Both stores and their sinks, while entered."""

    def __init__(self, site: Site, series: Breakable[Any] | None = None) -> None:
        if find_influxd() is None:
            raise SetupError("InfluxDB is not built: run scripts/build-influxd")
        self._site = site
        self.series: Breakable[Any] = series or Breakable(lambda port: InfluxDb(site.run.folder, port))
        self.documents = Breakable(lambda port: EmbeddedDocuments(site.run.folder, port))

    async def __aenter__(self) -> Self:
        await self.series.__aenter__()
        await self.documents.__aenter__()
        settings = {
            "TWINSTREAM_TIMESERIES__URL": self.series.now.url,
            "TWINSTREAM_TIMESERIES__TOKEN": InfluxDb.token,
            "TWINSTREAM_TIMESERIES__ORG": InfluxDb.org,
            "TWINSTREAM_TIMESERIES__BUCKET": InfluxDb.bucket,
            "TWINSTREAM_METADATA__URL": self.documents.now.url,
        }
        self.sinks: list[RoleProcess] = [
            self._site.role("sink", store, name=f"sink:{store}", folder=f"sink-{store}", **settings)
            for store in ("timeseries", "metadata")
        ]
        await self._site.ready(*self.sinks)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sink in self.sinks:
            sink.end()
        await self.documents.__aexit__(kind, error, trace)
        await self.series.__aexit__(kind, error, trace)

    def aways(self, number: int) -> int:
        """How often a sink has told that its store went away."""
        return self.sinks[number].output().count(_AWAY)

    def points(self) -> dict[str, tuple[int, float]]:
        """Number of points and last sum of every twin."""
        chosen = (
            f'from(bucket: "{InfluxDb.bucket}") |> range(start: 2020-01-01T00:00:00Z)'
            ' |> filter(fn: (r) => r._measurement == "tally" and r._field == "total") |> group(columns: ["twin"])'
        )
        with InfluxDBClient(self.series.now.url, InfluxDb.token, org=InfluxDb.org, timeout=60_000) as client:
            asked = client.query_api()
            counts, lasts = (
                {record["twin"]: record.get_value() for table in asked.query(chosen + pick) for record in table.records}
                for pick in (" |> count()", ' |> sort(columns: ["_time"]) |> last()')
            )
        return {twin: (int(count), float(lasts[twin])) for twin, count in counts.items()}

    def commands(self) -> int:
        """Documents of commands."""
        with pymongo.MongoClient[dict[str, Any]](self.documents.now.url) as client:
            return client["twinstream"].commands.count_documents({})

    async def progress(self, group: str, topics: tuple[str, ...]) -> int:
        """What a sink has committed."""
        async with LogAdmin(self._site.options) as admin:
            return sum((await admin.committed(group, topics)).values())

    async def compare(self, run: Run) -> None:
        """Wait until both stores have everything, and put it beside what must be there."""
        load = self._site.load
        wanted: dict[str, tuple[int, float]] = {}
        for twin, (count, total, _, _) in load.tallies():
            wanted[twin] = (int(count), total)
        records = await oracle.read_all(self._site.options, (TOPICS.commands,))
        commands = {msgspec.json.decode(record.value or b"{}")["id"] for record in records}
        deadline_s = time.monotonic() + _TIMEOUT_S
        while True:
            points, documents = await asyncio.to_thread(self.points), await asyncio.to_thread(self.commands)
            if (points == wanted and documents == len(commands)) or time.monotonic() > deadline_s:
                break
            await asyncio.sleep(1)
        run.exactly("points that are stored", load.count, sum(count for count, _ in points.values()))
        run.exactly("twins whose points or last sum are wrong", 0, len(wanted.items() ^ points.items()))
        run.exactly("commands that are stored", len(commands), documents)
        run.exactly("sinks that had to be started again", 0, sum(not sink.running() for sink in self.sinks))


@dataclass(frozen=True)
class StoresAway:
    """A store that is away loses nothing and does not hold the other one up.

    Attributes:
        away_s: How long each is, one after the other.
        per_second: Rate of the load.
    """

    away_s: float = 120.0
    per_second: float = 300.0

    async def play(self, run: Run) -> None:
        """Kill one store, then the other, and look at the sink of the one that is there."""
        async with Site(run, twins=50) as site, Stores(site) as stores:
            await site.ready(site.worker())
            ended = asyncio.Event()
            sending = asyncio.create_task(site.send(UNBOUNDED, self.per_second, ended))
            for number, (name, victim, own, other) in enumerate(
                (
                    ("InfluxDB", stores.series, SERIES, DOCUMENTS),
                    ("the document server", stores.documents, DOCUMENTS, SERIES),
                )
            ):
                await asyncio.sleep(2)
                run.say(f"{name} is away")
                await victim.kill()
                half = self.away_s / 2
                before = await stores.progress(*other)
                await asyncio.sleep(half)
                between, stood = await stores.progress(*other), await stores.progress(*own)
                await asyncio.sleep(half)
                after = await stores.progress(*other)
                run.exactly(f"committed by the sink of {name} meanwhile", 0, await stores.progress(*own) - stood)
                run.at_least(f"times that it said that {name} is away", 1, stores.aways(number))
                run.at_least(f"stored by the other sink while {name} was away, first half", 1, between - before)
                run.at_least(f"stored by the other sink while {name} was away, second half", 1, after - between)
                await victim.start()
            ended.set()
            await sending
            await site.drained()
            await stores.compare(run)
            await site.compare()
