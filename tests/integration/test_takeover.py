"""Workers that end, in whatever way, and the others of their type that go on: quickly, and from rows that are there."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.plant import PARTITIONS, Plant, made
from support.worker_process import WorkerProcess

from infra.scraping import exposition_at
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(240)]

SESSION_S = 6.0


@pytest.fixture
async def plant(kafka: KafkaOptions, tmp_path: Path) -> Plant:
    return await made(KafkaOptions(kafka.bootstrap_servers), tmp_path)


class _Pauses:
    """How long no partition's commits stood still while records came."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def watch(self, plant: Plant) -> None:
        topic, group = plant.topics.telemetry, f"twinstream-{plant.type_name}"
        moved: dict[tuple[str, int], tuple[int, float]] = {}
        async with LogAdmin(plant.kafka) as admin:
            while True:
                for place, offset in (await admin.committed(group, [topic])).items():
                    now_s = time.monotonic()
                    before, since_s = moved.get(place, (-1, now_s))
                    self.longest_s = max(self.longest_s, now_s - since_s)
                    if offset != before:
                        moved[place] = offset, now_s
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _pauses(plant: Plant) -> AsyncIterator[_Pauses]:
    pauses = _Pauses()
    watching = asyncio.create_task(pauses.watch(plant))
    try:
        yield pauses
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _figure(worker: WorkerProcess, name: str, **labels: str) -> float:
    text = exposition_at(worker.port()) or ""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    found = [line for line in text.splitlines() if line.startswith(name) and all(label in line for label in wanted)]
    return sum(float(line.rpartition(" ")[2]) for line in found)


async def _until(worker: WorkerProcess, *, steps: int, keeps: int) -> None:
    """Wait until a worker steps so many partitions, and has so many warm for others."""
    async with asyncio.timeout(45):
        while True:
            found = tuple(
                _figure(worker, f"twinstream_{name}{{") for name in ("partitions", "standby_partitions", "standby_warm")
            )
            if found == (steps, keeps, keeps):
                return
            await asyncio.sleep(0.1)


def _assignments(worker: WorkerProcess) -> int:
    return len(re.findall(r"partitions assigned", worker.output()))


async def test_a_killed_workers_partitions_go_on_where_they_were_kept_warm(plant: Plant) -> None:
    workers = [plant.worker("first")]
    try:
        async with plant.load():
            await plant.joined(workers[0])
            workers.append(plant.worker("second"))
            await plant.joined(workers[1])
            for worker in workers:
                await _until(worker, steps=PARTITIONS // 2, keeps=PARTITIONS // 2)
            assert _figure(workers[1], "twinstream_restores_total", rows="cold") == 0
            assert "keeps" in workers[1].detail()
            async with _pauses(plant) as pauses:
                await asyncio.sleep(1)
                workers[0].kill()
                await _until(workers[1], steps=PARTITIONS, keeps=0)
                await asyncio.sleep(1)
            assert _figure(workers[1], "twinstream_restores_total", rows="cold") == 0
            assert pauses.longest_s < SESSION_S + 2
        await plant.drained(workers[1])
    finally:
        for worker in workers:
            worker.end()
    await plant.assert_exactly_once()


async def test_a_rolling_restart_hands_over_quickly_and_reads_nothing_from_its_beginning(plant: Plant) -> None:
    workers = [plant.worker("first")]
    try:
        async with plant.load():
            await plant.joined(workers[0])
            workers.append(plant.worker("second"))
            await plant.joined(workers[1])
            await _until(workers[1], steps=PARTITIONS // 2, keeps=PARTITIONS // 2)
            for number in range(2):
                staying = workers[-1]
                before = _assignments(staying)
                async with _pauses(plant) as pauses:
                    await asyncio.sleep(0.5)
                    assert await asyncio.to_thread(workers[-2].stop) == 0
                    await _until(staying, steps=PARTITIONS, keeps=0)
                    await asyncio.sleep(1)
                assert pauses.longest_s < 2.0
                assert _assignments(staying) == before + 1
                before += 1
                workers.append(plant.worker(f"again-{number}"))
                await plant.joined(workers[-1])
                for worker in workers[-2:]:
                    await _until(worker, steps=PARTITIONS // 2, keeps=PARTITIONS // 2)
                assert _assignments(staying) <= before + 2, "it joins, and once more when it is warm"
                assert _figure(workers[-1], "twinstream_restores_total", rows="cold") == 0
        await plant.drained(*workers[-2:])
        for worker in workers[-2:]:
            assert _figure(worker, "twinstream_restores_total", rows="cold") == 0
    finally:
        for worker in workers:
            worker.end()
    await plant.assert_exactly_once()


async def test_without_standby_a_successor_reads_everything_back(plant: Plant) -> None:
    variables = {"TWINSTREAM_ENGINE__STANDBY_REPLICAS": "0"}
    workers = [plant.worker("first", **variables)]
    try:
        await plant.send(2000, per_second=5000)
        await plant.drained(workers[0])
        workers.append(plant.worker("second", **variables))
        await plant.joined(workers[1])
        for worker in workers:
            await _until(worker, steps=PARTITIONS // 2, keeps=0)
        workers[0].kill()
        await _until(workers[1], steps=PARTITIONS, keeps=0)
        assert _figure(workers[1], "twinstream_restores_total", rows="cold") == PARTITIONS
    finally:
        for worker in workers:
            worker.end()
    await plant.assert_exactly_once()
