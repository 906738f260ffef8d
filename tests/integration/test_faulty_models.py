"""Steps that hang, exit, eat memory and raise, on a real Kafka: their twins alone are quarantined, at once."""

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from support import oracle
from support.faulty import DEFINITION, HARMLESS, STEPS, line_of
from support.worker_process import WorkerProcess

from infra.deployment.switching import put_into_force
from schemas.bundle import read_folder
from schemas.headers import KIND, NAME, Kind
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.writer import LogWriter

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]

FAULTS: dict[float, str | tuple[str, ...]] = {
    -2.0: "step s took longer than its limit of 0.25 s",
    -3.0: "step s took longer than its limit of 0.25 s",
    -4.0: "step s ended its process (exit code 7)",
    # The process is refused memory, or seen to have grown first.
    -6.0: ("step s raised MemoryError", "step s needs more memory than its limit of 256 MiB"),
    -7.0: f"step s raised ModuleNotFoundError: No module named 'no_such_module' (steps.py:{line_of('import no_such')})",
    -1.0: f"step s raised ValueError: negative (steps.py:{line_of('raise ValueError')})",
    -100.0: "step before made more than 1,000,000 rounds of its loops in one call",
}
"""By the value that brings it, a fault and what is said of it."""

TWINS = 200
PARTITIONS = 8


@dataclass
class Sick:
    """A deployed type whose step has every fault that there is.

    Attributes:
        lags_s: From the sending of a twin's record to its line, for the twins that are well.
        quarantined: Time and reason by twin.
    """

    kafka: KafkaOptions
    type_name: str
    folder: Path
    content: str
    lags_s: list[float] = field(default_factory=list)
    quarantined: dict[str, tuple[float, str]] = field(default_factory=dict)

    @property
    def topics(self) -> TypeTopics:
        return TypeTopics(self.type_name)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Everything that leaves is seen as it comes."""

        async def watch() -> None:
            topics = (self.topics.timeseries, self.topics.events)
            async with Follower(self.kafka, topics=topics) as follower:
                while True:
                    for record in await follower.read(0.5):
                        if record.topic == self.topics.events:
                            event = json.loads(record.value or b"{}")
                            if event["name"] == "quarantined":
                                self.quarantined[event["twin"]] = (time.time(), event["data"]["reason"])
                        else:
                            self._note(record.value or b"")

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _note(self, lines: bytes) -> None:
        now_ns = time.time_ns()
        for line in lines.decode().splitlines():
            if "twin=bad" not in line:
                self.lags_s.append((now_ns - int(line.rpartition(" ")[2])) * 1e-9)

    async def send(self, writer: LogWriter, twin: str, x: float) -> None:
        await writer.send(self.topics.telemetry, twin.encode(), b'{"time": %d, "a": %f}' % (time.time_ns(), x))

    async def release(self, writer: LogWriter, twin: str) -> None:
        headers = ((KIND, Kind.REQUEST.value.encode()), (NAME, b"release"))
        await writer.send(self.topics.telemetry, twin.encode(), b"{}", headers=headers)

    async def load(self, seconds: float, per_second: float, until: asyncio.Event | None = None) -> None:
        """Readings of all twins that are well, in turn."""
        started_s, number, chance = time.monotonic(), 0, random.Random(1)
        async with LogWriter(self.kafka, linger_ms=1) as writer:
            while (now_s := time.monotonic() - started_s) < seconds and not (until and until.is_set()):
                while number < int(now_s * per_second):
                    await self.send(writer, f"well-{number % TWINS}", chance.uniform(1.0, 2.0))
                    number += 1
                await asyncio.sleep(0.005)

    async def drained(self) -> None:
        async with asyncio.timeout(60), LogAdmin(self.kafka) as admin:
            while True:
                ends = await admin.end_offsets([self.topics.telemetry])
                done = await admin.committed(f"twinstream-{self.type_name}", [self.topics.telemetry])
                if all(done.get(place, 0) >= end for place, end in ends.items()):
                    return
                await asyncio.sleep(0.2)


async def made(kafka: KafkaOptions, folder: Path) -> Sick:
    """The type under a name of its own, in force."""
    name = f"sick_{random.randrange(10**9)}"
    folder.mkdir()  # noqa: ASYNC240 - nothing else goes on
    # With the limits that hold where none are declared.
    definition = re.sub("    limits: .*\n", "", DEFINITION.replace("name: faulty", f"name: {name}"))
    (folder / "twin.yaml").write_text(definition)
    (folder / "steps.py").write_text(STEPS)
    bundle = read_folder(folder)
    options = KafkaOptions(kafka.bootstrap_servers)
    await put_into_force(options, bundle, PARTITIONS, who="tests")
    return Sick(options, name, folder, bundle.hash)


async def joined(worker: WorkerProcess) -> None:
    """Wait until it has partitions."""
    async with asyncio.timeout(60):
        while not worker.joined():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


async def test_whatever_a_step_does_its_twin_alone_is_quarantined_within_three_seconds(
    kafka: KafkaOptions, tmp_path: Path
) -> None:
    sick = await made(kafka, tmp_path / "type")
    worker = WorkerProcess(sick.type_name, kafka.bootstrap_servers, tmp_path / "data")
    until = asyncio.Event()
    try:
        await joined(worker)
        pid = worker.pid
        async with sick.watched(), LogWriter(sick.kafka, linger_ms=1) as writer:
            load = asyncio.create_task(sick.load(60.0, 400.0, until))
            async with asyncio.timeout(30):
                # What a plant does first takes longer: transactions begin, topics are looked up.
                while len(sick.lags_s) < 3 * TWINS or max(sick.lags_s[-TWINS:]) > 1.0:  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(0.1)
            for x, reason in FAULTS.items():
                bad = f"bad{-x:.0f}"
                await sick.send(writer, bad, 1.0)
                await asyncio.sleep(0.3)
                sent_s = time.time()
                await sick.send(writer, bad, x)
                await sick.send(writer, bad, 2.0)
                async with asyncio.timeout(10):
                    while bad not in sick.quarantined:  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.02)
                at_s, told = sick.quarantined[bad]
                assert told.startswith(reason)
                assert at_s - sent_s < 3.0
            until.set()
            await load
            await sick.drained()
        assert worker.running()
        assert worker.pid == pid
        assert "partitions assigned" in worker.output()
        assert worker.output().count("partitions assigned") == 1
        await _assert_exactly_once(sick, tmp_path)
    except BaseException:
        print(worker.output()[-6000:])  # noqa: T201 - pytest shows it
        raise
    finally:
        tree = psutil.Process(worker.pid).children(recursive=True) if worker.running() else []
        worker.end()
        _, alive = psutil.wait_procs(tree, 5.0)
    assert not alive, "nothing outlives a worker that was killed"


async def _assert_exactly_once(sick: Sick, tmp_path: Path) -> None:
    """All states, and everything that left of the twins that are well, are those of steps called in this process."""
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "twin.yaml").write_bytes((sick.folder / "twin.yaml").read_bytes())
    (plain / "steps.py").write_text(HARMLESS)
    versions = {sick.content: oracle.load_type(plain, sick.content, tmp_path / "kernels")}
    async with LogAdmin(sick.kafka) as admin:
        cluster = await admin.cluster_id()
        topic_id = (await admin.topic_ids([sick.topics.telemetry]))[sick.topics.telemetry]
    records = await oracle.read_all(sick.kafka, (sick.topics.telemetry,))
    expected = oracle.replay(sick.type_name, versions, cluster, topic_id, records)
    found = await oracle.observed(sick.kafka, sick.type_name)
    assert len(found.states) == TWINS + len(FAULTS)
    assert found.states == expected.states
    well = [
        {key: count for key, count in one.outputs.items() if not re.match(rb"bad", key[1] or b"")}
        for one in (found, expected)
    ]
    assert sum(well[0].values()) > 2 * TWINS
    assert well[0] == well[1]
