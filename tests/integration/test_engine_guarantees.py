"""The engine on a real Kafka, while workers are killed, frozen, joined and stopped: exactly once, bit for bit."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from support import oracle
from support.deployments import put_into_force
from support.topics import make_anew
from support.worker_process import WorkerProcess

from schemas.bundle import read_folder
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter

FOLDER = Path(__file__).parents[1] / "types" / "statistics"
TWINS = 500
START_NS = 1_700_000_000_000_000_000

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(240)]


@dataclass
class Plant:
    """A deployed type of its own name, and a load for it."""

    kafka: KafkaOptions
    type_name: str
    folder: Path
    content: str
    data_dir: Path
    sent: int = 0

    @property
    def topics(self) -> TypeTopics:
        return TypeTopics(self.type_name)

    def worker(self, name: str) -> WorkerProcess:
        return WorkerProcess(self.type_name, self.kafka.bootstrap_servers, self.data_dir / name)

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
        assert len(records) == self.sent + 8, "the load, and a switch in every partition"
        twin_type = oracle.load_type(self.folder, self.content, self.data_dir / "oracle")
        expected = oracle.replay(twin_type, cluster, topic_id, records)
        found = await oracle.observed(self.kafka, self.type_name)
        assert found.states.keys() == expected.states.keys()
        different = [key for key, value in expected.states.items() if found.states[key] != value]
        assert not different, f"{len(different)} of {len(expected.states)} states differ"
        assert sum(found.outputs.values()) > self.sent
        assert not expected.outputs - found.outputs, "outputs are missing"
        assert not found.outputs - expected.outputs, "outputs are double or wrong"


@pytest.fixture
async def plant(kafka: KafkaOptions, tmp_path: Path) -> Plant:
    name = f"statistics_{random.randrange(10**9)}"
    folder = tmp_path / "type"
    folder.mkdir()
    for file in FOLDER.glob("*.*"):
        text = file.read_text()
        (folder / file.name).write_text(text.replace("name: statistics\nversion", f"name: {name}\nversion"))
    bundle = read_folder(folder)
    options = KafkaOptions(kafka.bootstrap_servers)
    await put_into_force(options, bundle)
    return Plant(options, name, folder, bundle.hash, tmp_path)


async def test_clean_stop_in_mid_stream_and_start_again_change_nothing(plant: Plant) -> None:
    workers = [plant.worker("first")]
    try:
        async with plant.load():
            await plant.working()
            await plant.joined(workers[0])
            assert await asyncio.to_thread(workers[0].stop) == 0
            assert await plant.lag()
            workers.append(plant.worker("second"))
            await plant.joined(workers[1])
        await plant.drained(workers[1])
        assert await asyncio.to_thread(workers[1].stop) == 0
    finally:
        for worker in workers:
            worker.end()
    await plant.assert_exactly_once()


async def test_kill_join_and_freeze_change_nothing(plant: Plant) -> None:
    workers = [plant.worker("first")]
    try:
        async with plant.load():
            await plant.working()
            workers.append(plant.worker("second"))
            await plant.joined(workers[1])
            await asyncio.sleep(2)
            workers[0].kill()
            workers.append(plant.worker("third"))
            await plant.joined(workers[2])
            await asyncio.sleep(2)
            workers[1].freeze()
            await asyncio.sleep(10)  # past the session timeout of 6 s: the third takes everything over
            workers[1].thaw()
        await plant.drained(*workers[1:])
        assert all(worker.running() for worker in workers[1:])
        for worker in workers[1:]:
            assert await asyncio.to_thread(worker.stop) == 0, worker.output()[-3000:]
    finally:
        for worker in workers:
            worker.end()
    await plant.assert_exactly_once()


async def test_fetches_that_bring_aborted_records_alone_do_not_stop_a_worker(plant: Plant) -> None:
    worker = plant.worker("only")
    try:
        await plant.send(1000, per_second=5000)
        await plant.drained(worker)
        producer = AIOKafkaProducer(transactional_id=f"{plant.type_name}-aborts", **plant.kafka.client_kwargs())
        async with producer:
            for partition in range(8):
                await producer.begin_transaction()
                await producer.send_and_wait(plant.topics.telemetry, b"{}", key=b"no-twin", partition=partition)
                await producer.abort_transaction()
        await plant.drained(worker)
        await plant.send(1000, per_second=5000)
        await plant.drained(worker)
        assert await asyncio.to_thread(worker.stop) == 0
    finally:
        worker.end()
    await plant.assert_exactly_once()


async def test_an_input_that_is_made_anew_under_a_worker_is_read_from_its_beginning(plant: Plant) -> None:
    worker = plant.worker("only")
    try:
        await plant.send(1000, per_second=5000)
        await plant.drained(worker)
        await make_anew(plant.kafka, plant.topics.telemetry, 8)
        await plant.send(200, per_second=5000)
        await plant.drained(worker)
        assert worker.running()
    finally:
        worker.end()
    lines = [key for key in (await oracle.observed(plant.kafka, plant.type_name)).outputs if not key[1]]
    times_ns = {int(line.rpartition(b" ")[2]) for _, _, line in lines}
    assert times_ns == {START_NS + number * 10**6 for number in range(plant.sent)}
