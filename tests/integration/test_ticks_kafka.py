"""Ticks on a real Kafka: written by whoever owns a partition, and the same to everybody who replays them."""

import asyncio
import json
import os
import random
import re
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from paho.mqtt import publish
from support import oracle
from support.instance import Instance, eventually
from support.worker_process import WorkerProcess

from infra.deployment.switching import put_into_force
from schemas.bundle import read_folder
from schemas.headers import KIND
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.record import LogRecord
from streams.log.writer import LogWriter

FOLDER = Path(__file__).parents[1] / "types" / "watchman"
PARTITIONS = frozenset(range(8))
TWINS = [f"twin-{number}".encode() for number in range(40)]

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]


@dataclass
class Watch:
    """A deployed type of its own name, and its workers."""

    kafka: KafkaOptions
    folder: Path
    content: str
    type_name: str
    data_dir: Path
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def topics(self) -> TypeTopics:
        return TypeTopics(self.type_name)

    async def worker(self) -> WorkerProcess:
        """Start one more, and wait until it has partitions or stands by."""
        number = len(self.workers)
        self.workers.append(WorkerProcess(self.type_name, self.kafka.bootstrap_servers, self.data_dir / f"w{number}"))
        await self.until(self.workers[-1].joined, "the worker joined")
        return self.workers[-1]

    async def until(self, found: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not found():  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.1)
        except TimeoutError:
            pytest.fail("\n".join([what, *(worker.output()[-3000:] for worker in self.workers)]))

    async def send(self) -> None:
        """One reading of each twin, at the time of its arrival."""
        async with LogWriter(self.kafka) as writer:
            sent = [await writer.send(self.topics.telemetry, twin, b'{"pressure": 2.5}') for twin in TWINS]
            await asyncio.gather(*sent)

    async def ticks(self) -> dict[int, list[int]]:
        """Times of all ticks, by partition."""
        found = defaultdict(list)
        for record in await oracle.read_all(self.kafka, (self.topics.telemetry,)):
            if dict(record.headers).get(KIND) == b"tick":
                found[record.partition].append(json.loads(record.value or b"")["time_ns"])
        return found

    async def more_ticks(self, at_least: int = 5) -> None:
        """Wait for further ticks in every partition."""
        before = {number: len(times) for number, times in (await self.ticks()).items()}
        async with asyncio.timeout(40):
            while True:
                now = await self.ticks()
                if all(len(now.get(number, ())) >= before.get(number, 0) + at_least for number in PARTITIONS):
                    return
                await asyncio.sleep(0.3)

    async def named(self, topic: str, name: str) -> list[LogRecord]:
        """Events or commands of a name."""
        records = await oracle.read_all(self.kafka, (topic,))
        return [record for record in records if json.loads(record.value or b"")["name"] == name]

    async def assert_equals_a_replay(self) -> None:
        """States and outputs are those of an undisturbed run over what was committed."""
        async with LogAdmin(self.kafka) as admin:
            cluster = await admin.cluster_id()
            topic_id = (await admin.topic_ids([self.topics.telemetry]))[self.topics.telemetry]
            done = await admin.committed(f"twinstream-{self.type_name}", [self.topics.telemetry])
        records = await oracle.read_all(self.kafka, (self.topics.telemetry,))
        records = [record for record in records if record.offset < done[self.topics.telemetry, record.partition]]
        twin_type = oracle.load_type(self.folder, self.content, self.data_dir / "oracle")
        versions = {self.content: twin_type}
        expected = oracle.replay(self.type_name, versions, cluster, topic_id, records, cut=7)
        found = await oracle.observed(self.kafka, self.type_name)
        assert len(expected.states) == len(TWINS)
        assert found.states == expected.states
        assert not expected.outputs - found.outputs, "outputs are missing"
        assert not found.outputs - expected.outputs, "outputs are double or wrong"


@pytest.fixture
async def watch(kafka: KafkaOptions, tmp_path: Path) -> AsyncIterator[Watch]:
    name = f"watchman_{random.randrange(10**9)}"
    (folder := tmp_path / "type").mkdir()
    for file in FOLDER.glob("*.*"):
        (folder / file.name).write_text(file.read_text().replace("name: watchman\n", f"name: {name}\n"))
    bundle = read_folder(folder)
    options = KafkaOptions(kafka.bootstrap_servers)
    await put_into_force(options, bundle, 8, who="tests")
    found = Watch(options, folder, bundle.hash, name, tmp_path)
    yield found
    for worker in found.workers:
        worker.end()


async def test_owners_tick_through_a_kill_and_a_handover_and_a_replay_sees_the_same(watch: Watch) -> None:
    first = await watch.worker()
    await watch.send()
    await watch.more_ticks()
    first.kill()
    await watch.worker()
    await watch.more_ticks()
    # A third takes some of the partitions over, then all of them, after a clean stop.
    await watch.worker()
    await watch.send()
    await watch.more_ticks()
    assert await asyncio.to_thread(watch.workers[1].stop) == 0
    await watch.more_ticks()
    assert await asyncio.to_thread(watch.workers[2].stop) == 0

    ticks = await watch.ticks()
    assert ticks.keys() == PARTITIONS
    for times in ticks.values():
        assert all(time_ns % 200_000_000 == 0 for time_ns in times)
    silent = await watch.named(watch.topics.events, "fell_silent")
    assert {record.key for record in silent} == set(TWINS)
    stops = await watch.named(watch.topics.commands, "stop")
    assert {record.key for record in stops if json.loads(record.value or b"")["value"]} == set(TWINS)
    await watch.assert_equals_a_replay()


async def test_a_partition_that_nobody_steps_gets_no_ticks_and_one_that_is_frozen_no_heap_of_them(
    watch: Watch,
) -> None:
    worker = await watch.worker()
    await watch.more_ticks()
    worker.freeze()
    before = await watch.ticks()
    await asyncio.sleep(2)
    assert await watch.ticks() == before
    worker.thaw()
    await watch.more_ticks()
    for times in (await watch.ticks()).values():
        assert times == sorted(set(times))


def test_a_silent_twin_is_stale_and_stopped_without_any_telemetry_and_the_api_says_so(tmp_path: Path) -> None:
    with Instance(tmp_path / "data") as instance:
        instance.run("deploy", str(FOLDER))
        answer = httpx.put(f"{instance.api}/api/twins/watchman/pump-1", json={"tags": {"hall": "3"}}, timeout=30)
        assert answer.is_success, answer.text

        def stopped() -> bool:
            items = instance.get("/api/twins/watchman/pump-1/commands")["items"]
            return any(item["name"] == "stop" and item["value"] is True for item in items)

        # It never sent anything: a command without any telemetry.
        eventually(stopped, "a timeout leads to a command")
        with ThreadPoolExecutor(1) as pool, httpx.Client(timeout=30) as client:
            told = pool.submit(_first_event, client, f"{instance.api}/api/stream?type=watchman", "fell_silent")
            _publish(instance.urls["MQTT"])
            eventually(lambda: _twin(instance)["status"] == "stale", "a twin that fell silent is stale")
            assert told.result(30)["data"] == {"pressure": 2.5}
        assert _stepped(instance) > 0
        shown = instance.run("tail", "twinstream.watchman.telemetry", "--from-start", "--limit", "40")
        assert re.search(r'^\d/\d+ - \(tick\) {"time_ns":\d+}$', shown, re.MULTILINE), shown


def test_ticks_go_on_when_kafka_was_away_and_no_worker_ends(tmp_path: Path) -> None:
    with Instance(tmp_path / "data") as instance:
        instance.run("deploy", str(FOLDER))
        eventually(lambda: _stepped(instance) > 0, "ticks are stepped")
        kafka, worker = (_role(instance, name)["pid"] for name in ("kafka", "worker:watchman"))
        os.kill(kafka, signal.SIGKILL)
        eventually(lambda: (role := _role(instance, "kafka"))["ready"] and role["pid"] != kafka, "Kafka is back", 90)
        before = _stepped(instance)
        eventually(lambda: _stepped(instance) > before + 8, "ticks go on", 60)
        assert _role(instance, "worker:watchman")["pid"] == worker


def _role(instance: Instance, name: str) -> dict[str, Any]:
    roles = json.loads(instance.run("status", "--json"))["items"]
    found: dict[str, Any] = next(role for role in roles if role["name"] == name)
    return found


def _stepped(instance: Instance) -> float:
    """Ticks that the worker stepped since it started."""
    metrics = httpx.get(f"{instance.api}/metrics", timeout=10).text
    found = re.search(r'twinstream_ticks_total{[^}]*outcome="stepped"[^}]*} ([0-9.]+)', metrics)
    return float(found[1]) if found else 0.0


def _first_event(client: httpx.Client, url: str, name: str) -> dict[str, Any]:
    """The first event of a name in the live stream."""
    with client.stream("GET", url) as answer:
        for line in answer.iter_lines():
            if line.startswith("data:") and f'"{name}"' in line:
                found: dict[str, Any] = json.loads(line.removeprefix("data:"))
                return found
    message = f"no event {name}"
    raise AssertionError(message)


def _publish(url: str) -> None:
    broker = urlsplit(url)
    topic = "twins/watchman/pump-1/telemetry"
    publish.single(topic, '{"pressure": 2.5}', qos=1, hostname=broker.hostname or "", port=broker.port or 0)


def _twin(instance: Instance) -> dict[str, str]:
    found: dict[str, str] = instance.get("/api/twins/watchman/pump-1")
    return found
