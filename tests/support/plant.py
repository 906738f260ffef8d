"""A type on a real Kafka with a load, and the proof that what came out is what an undisturbed run gives."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import oracle
from support.worker_process import WorkerProcess

from infra.deployment.switching import put_into_force
from schemas.bundle import read_folder
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter

FOLDER = Path(__file__).parents[1] / "types" / "statistics"
TWINS = 500
PARTITIONS = 8
START_NS = 1_700_000_000_000_000_000


@dataclass
class Plant:
    """A deployed type of its own name, and a load for it.

    Attributes:
        folders: Folder of each version that was in force, by its content hash.
        switches: How many there were.
    """

    kafka: KafkaOptions
    type_name: str
    data_dir: Path
    folders: dict[str, Path]
    sent: int = 0
    switches: int = 1

    @property
    def topics(self) -> TypeTopics:
        return TypeTopics(self.type_name)

    def worker(self, name: str, **environment: str) -> WorkerProcess:
        return WorkerProcess(self.type_name, self.kafka.bootstrap_servers, self.data_dir / name, **environment)

    async def joined(self, worker: WorkerProcess) -> None:
        """Wait until a worker has partitions."""
        async with asyncio.timeout(60):
            while not worker.joined():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)

    async def send(self, records: int, per_second: float, until: asyncio.Event | None = None) -> None:
        """Numbered readings of random twins at a steady rate, until told to stop, and at most so many."""
        rng = random.Random(self.sent)
        started_s = time.monotonic()
        futures = []
        async with LogWriter(self.kafka, linger_ms=5) as writer:
            for number in range(records):
                twin = f"twin-{rng.randrange(TWINS)}".encode()
                value = b'{"value": %.3f, "time": %d}' % (rng.gauss(60, 20), START_NS + (self.sent + number) * 10**6)
                futures.append(await writer.send(self.topics.telemetry, twin, value))
                if number % 100 == 0:
                    if until is not None and until.is_set():
                        break
                    await asyncio.sleep(max(0.0, started_s + number / per_second - time.monotonic()))
            await asyncio.gather(*futures)
        self.sent += len(futures)

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Readings come all the time inside this context."""
        until = asyncio.Event()
        sending = asyncio.create_task(self.send(400_000, 2000, until))
        try:
            yield
            assert not sending.done(), "the test took longer than its load"
        finally:
            until.set()
            await sending

    async def lag(self) -> int:
        """Records that the group has not committed."""
        async with LogAdmin(self.kafka) as admin:
            ends = await admin.end_offsets([self.topics.telemetry])
            done = await admin.committed(f"twinstream-{self.type_name}", [self.topics.telemetry])
        return sum(end - done.get(place, 0) for place, end in ends.items())

    async def working(self) -> None:
        """Wait until a worker commits."""
        async with asyncio.timeout(60), LogAdmin(self.kafka) as admin:
            while not sum((await admin.committed(f"twinstream-{self.type_name}", [self.topics.telemetry])).values()):  # noqa: ASYNC110 - Kafka has no event for it
                await asyncio.sleep(0.2)

    async def drained(self, *workers: WorkerProcess, timeout_s: float = 60) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while await self.lag():  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(0.2)
        except TimeoutError:
            pytest.fail("\n".join([f"lag {await self.lag()}", *(worker.output()[-3000:] for worker in workers)]))

    async def assert_exactly_once(self) -> None:
        """States and read-committed outputs equal those of an undisturbed run."""
        async with LogAdmin(self.kafka) as admin:
            cluster = await admin.cluster_id()
            topic_id = (await admin.topic_ids([self.topics.telemetry]))[self.topics.telemetry]
        records = await oracle.read_all(self.kafka, (self.topics.telemetry,))
        assert len(records) == self.sent + PARTITIONS * self.switches, "the load, and switches in every partition"
        cache = self.data_dir / "oracle"
        versions = {content: oracle.load_type(folder, content, cache) for content, folder in self.folders.items()}
        expected = oracle.replay(self.type_name, versions, cluster, topic_id, records)
        found = await oracle.observed(self.kafka, self.type_name)
        assert found.states.keys() == expected.states.keys()
        different = [key for key, value in expected.states.items() if found.states[key] != value]
        assert not different, f"{len(different)} of {len(expected.states)} states differ"
        assert sum(found.outputs.values()) > self.sent
        assert not expected.outputs - found.outputs, "outputs are missing"
        assert not found.outputs - expected.outputs, "outputs are double or wrong"


async def made(options: KafkaOptions, folder: Path) -> Plant:
    """A plant whose type has a name of its own, in force with its first version."""
    name = f"statistics_{random.randrange(10**9)}"
    type_folder = folder / "type"
    type_folder.mkdir()
    for file in FOLDER.glob("*.*"):
        text = file.read_text()
        (type_folder / file.name).write_text(text.replace("name: statistics\nversion", f"name: {name}\nversion"))
    bundle = read_folder(type_folder)
    await put_into_force(options, bundle, 8, who="tests")
    return Plant(options, name, folder, {bundle.hash: type_folder})
