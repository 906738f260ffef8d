"""`twinstream bench sink`: what storing costs beside the clients' own ways, on real servers."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import msgspec
from pymongo import AsyncMongoClient

from infra.bench.child import finished
from infra.bench.contest import Watch
from infra.bench.contestants.bare_influx import Writing
from infra.bench.contestants.bare_mongo import Updating
from infra.bench.draining import Drain, RoleUnderTest
from infra.bench.job import Finished
from infra.bench.jobs import FOLDERS, INCUBATOR
from infra.bench.peers import ROOT
from infra.bench.report import OURS, Result
from infra.bench.servers.influxdb import InfluxDb
from infra.bench.servers.secantus import Secantus
from infra.bench.sink_load import TYPE, blocks_of, documents_of
from infra.bench.stages import Stages
from infra.bench.turns import EachTurn, Turn, never_enough, take_turns
from infra.deployment.switching import put_into_force
from infra.embedded.kafka import EmbeddedKafka
from infra.embedded.server import EmbeddedServer
from infra.roles.sink import METADATA_GROUP, TIMESERIES_GROUP
from schemas.bundle import read_folder
from schemas.errors import SetupError
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter, NewRecord

TIMESERIES, METADATA = "timeseries", "metadata"
FLOOR = {TIMESERIES: "influxdb-client", METADATA: "update-one"}
LABELS = {
    (TIMESERIES, OURS): "sink, blocks from Kafka to InfluxDB",
    (TIMESERIES, FLOOR[TIMESERIES]): "influxdb-client, batches of 5,000 Point objects",
    (METADATA, OURS): "sink, documents from Kafka to a server of MongoDB's protocol",
    (METADATA, FLOOR[METADATA]): "pymongo, one update_one a document",
}

_TWINS, _PARTITIONS = 1000, 8
_BLOCK_LINES = 1000
_WRITTEN_TOGETHER = 100
_DATABASE = "twinstream"


async def measure(
    points: int,
    documents: int,
    repeat: int,
    stores: Sequence[str] = (TIMESERIES, METADATA),
    *,
    each_turn: EachTurn = never_enough,
) -> list[Result]:
    """Store so many points and documents.

    Args:
        points: Lines of line protocol with seven fields each.
        documents: Changes of twins' documents.
        repeat: Runs of each contestant; they take turns.
        stores: `timeseries`, `metadata`.
        each_turn: Called after each turn.

    Raises:
        SetupError: Kafka can't be had.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinstream-bench-")))
        shown = stack.enter_context(Stages())
        shown.begin("starting servers", 1)
        kafka = await stack.enter_async_context(EmbeddedKafka(folder, port=0))
        options = KafkaOptions(kafka.bootstrap_servers)
        bench = SinkBench(options, folder / "runs", shown.begin, InfluxDb(folder, 0), Secantus(folder), stack)
        await put_into_force(bench.kafka, read_folder(FOLDERS[INCUBATOR]), _PARTITIONS, who="bench")
        runs = {
            TIMESERIES: partial(bench.timeseries, points=points),
            METADATA: partial(bench.metadata, documents=documents),
        }
        turns = [
            Turn(name, label, store, partial(runs[store], name))
            for (store, name), label in LABELS.items()
            if store in stores
        ]
        return await take_turns(turns, repeat, shown, each_turn=each_turn)


@dataclass
class SinkBench:
    """One Kafka and two stores, to which contestants write in turns.

    Attributes:
        kafka: Where sinks read from.
        folder: For everything that is written.
        watch: Is told what goes on.
        influx: Where points go, each run's to a bucket of its own.
        mongo: Where documents go.
        stack: Ends the stores, which are started by the first run that needs them.
    """

    kafka: KafkaOptions
    folder: Path
    watch: Watch
    influx: InfluxDb
    mongo: Secantus
    stack: AsyncExitStack
    _runs: int = field(default=0, init=False)
    _started: list[EmbeddedServer] = field(default_factory=list, init=False)

    async def timeseries(self, name: str, points: int) -> Finished:
        """One run of `name` that stores points.

        Raises:
            SetupError: InfluxDB can't be had, the contestant failed, or not everything was stored.
        """
        await self._start(self.influx)
        folder = self._folder(f"timeseries-{name}")
        bucket = folder.name
        if name == OURS:
            topic = TypeTopics(TYPE).timeseries
            blocks = list(blocks_of(points, _TWINS, _BLOCK_LINES))
            records: list[NewRecord] = [(topic, b"%d" % place, block, []) for place, block in enumerate(blocks)]
            settings = {
                "TWINSTREAM_TIMESERIES__URL": self.influx.url,
                "TWINSTREAM_TIMESERIES__TOKEN": self.influx.token,
                "TWINSTREAM_TIMESERIES__ORG": self.influx.org,
                "TWINSTREAM_TIMESERIES__BUCKET": bucket,
            }
            role = self._role("sink:timeseries", folder, settings)
            run = await self._carry(role, topic, TIMESERIES_GROUP, records)
            run = Finished(points, run.seconds, run.cpu_seconds, {"blocks": len(blocks)})
        else:
            async with self._influx_api() as api:
                org = (await api.get("/api/v2/orgs", params={"org": self.influx.org})).raise_for_status().json()
                body = {"orgID": org["orgs"][0]["id"], "name": bucket, "retentionRules": []}
                (await api.post("/api/v2/buckets", json=body)).raise_for_status()
            job = Writing(
                self.influx.url,
                self.influx.token,
                self.influx.org,
                bucket,
                points,
                _TWINS,
                str(folder / "report.jsonl"),
            )
            run = await self._contestant("bare_influx", folder, job, self.watch(f"timeseries: {name}", points))
        stored = await self._stored_points(bucket)
        if stored != points:
            message = f"{name} stored {stored} of {points} points"
            raise SetupError(message)
        return run

    async def metadata(self, name: str, documents: int) -> Finished:
        """One run of `name` that stores documents.

        Raises:
            SetupError: the server can't be had, the contestant failed, or not everything was stored.
        """
        await self._start(self.mongo)
        folder = self._folder(f"metadata-{name}")
        if name == OURS:
            topic = TypeTopics(TYPE).metadata
            rows = documents_of(documents, _TWINS)
            records: list[NewRecord] = [(topic, twin.encode(), text, []) for twin, text in rows]
            settings = {"TWINSTREAM_METADATA__URL": self.mongo.url, "TWINSTREAM_METADATA__DATABASE": folder.name}
            role = self._role("sink:metadata", folder, settings)
            run = await self._carry(role, topic, METADATA_GROUP, records)
        else:
            job = Updating(self.mongo.url, folder.name, documents, _TWINS, str(folder / "report.jsonl"))
            run = await self._contestant("bare_mongo", folder, job, self.watch(f"metadata: {name}", documents))
        async with AsyncMongoClient[dict[str, object]](self.mongo.url) as client:
            last = max(1, documents // _TWINS)
            stored = await client[folder.name]["twins"].count_documents({"revision": {"$gte": last}})
        if stored < min(documents, _TWINS):
            message = f"{name} stored {stored} of {_TWINS} twins at their last revision"
            raise SetupError(message)
        return run

    async def _start(self, store: EmbeddedServer) -> None:
        if store not in self._started:
            await self.stack.enter_async_context(store)
            self._started.append(store)

    def _folder(self, name: str) -> Path:
        self._runs += 1
        folder = self.folder / f"run-{self._runs:02d}-{name}"
        folder.mkdir(parents=True)
        return folder

    def _role(self, name: str, folder: Path, settings: dict[str, str]) -> RoleUnderTest:
        log = {
            "TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "TWINSTREAM_KAFKA__PARTITIONS": str(_PARTITIONS),
        }
        return RoleUnderTest(name, folder, log | settings)

    async def _carry(self, role: RoleUnderTest, topic: str, group: str, records: Sequence[NewRecord]) -> Finished:
        """Let a sink that waits for work store records that are written to its topic."""
        title = f"{role.name.removeprefix('sink:')}: {OURS}"
        async with LogAdmin(self.kafka) as admin, LogWriter(self.kafka) as writer, role.process() as process:
            await role.ready()

            async def committed() -> int:
                return sum((await admin.committed(group, [topic])).values())

            ends = await admin.end_offsets([topic])
            before = sum(ends.values())

            async def done() -> int:
                return max(0, await committed() - before)

            async def give() -> None:
                for place in range(0, len(records), _WRITTEN_TOGETHER):
                    for written in await writer.send_many(records[place : place + _WRITTEN_TOGETHER]):
                        await written

            told = self.watch(title, len(records))
            return await Drain(title, [process], len(records), done, told).while_given(give())

    async def _contestant(
        self, module: str, folder: Path, job: Writing | Updating, told: Callable[[int], None]
    ) -> Finished:
        file = folder / "job.json"
        file.write_bytes(msgspec.json.encode(job))
        command = [sys.executable, "-m", f"infra.bench.contestants.{module}", str(file)]
        return await finished(module, command, folder / "report.jsonl", env={"PYTHONPATH": str(ROOT)}, told=told)

    def _influx_api(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Token {self.influx.token}"}
        return httpx.AsyncClient(base_url=self.influx.url, headers=headers, timeout=60)

    async def _stored_points(self, bucket: str) -> int:
        """How many values of one field lie in a bucket."""
        flux = (
            f'from(bucket: "{bucket}") |> range(start: 2020-01-01T00:00:00Z) '
            f'|> filter(fn: (r) => r._field == "T_air") |> group() |> count() |> keep(columns: ["_value"])'
        )
        async with self._influx_api() as api:
            answer = await api.post("/api/v2/query", params={"org": self.influx.org}, json={"query": flux})
        lines = [line for line in answer.raise_for_status().text.splitlines() if line.startswith(",_result,0,")]
        return int(lines[0].rpartition(",")[2]) if lines else 0
