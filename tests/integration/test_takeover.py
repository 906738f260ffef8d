"""Workers that end, in whatever way, and the others of their type that go on: quickly, and from rows that are there."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.plant import PARTITIONS, Plant, made
from support.worker_process import WorkerProcess

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
        self.looks = 0
        self.moves: Counter[int] = Counter()

    async def watch(self, plant: Plant) -> None:
        topic, group = plant.topics.telemetry, f"twinstream-{plant.type_name}"
        moved: dict[int, tuple[int, float]] = {}
        async with LogAdmin(plant.kafka) as admin:
            while True:
                for (_, number), offset in (await admin.committed(group, [topic])).items():
                    now_s = time.monotonic()
                    before, since_s = moved.get(number, (-1, now_s))
                    self.longest_s = max(self.longest_s, now_s - since_s)
                    if offset != before:
                        self.moves[number] += 1
                        moved[number] = offset, now_s
                self.looks += 1
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _pauses(plant: Plant) -> AsyncIterator[_Pauses]:
    """Watch inside this context; it was for nothing where the watch broke off, or missed a partition."""
    pauses = _Pauses()
    watching = asyncio.create_task(pauses.watch(plant))
    began_s = time.monotonic()
    try:
        yield pauses
        assert not watching.done(), watching
        assert pauses.looks > 2 * (time.monotonic() - began_s), "it looked less than twice a second"
        assert set(pauses.moves) == set(range(PARTITIONS))
        assert min(pauses.moves.values()) > 2, "a partition did not move at all"
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _until(worker: WorkerProcess, *, steps: int, keeps: int) -> None:
    """Wait until a worker steps so many partitions, and has so many warm for others."""
    async with asyncio.timeout(45):
        while True:
            found = tuple(
                worker.figure(f"twinstream_{name}") for name in ("partitions", "standby_partitions", "standby_warm")
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
            assert workers[1].figure("twinstream_restores_total", rows="cold") == 0
            assert "keeps" in workers[1].detail()
            async with _pauses(plant) as pauses:
                await asyncio.sleep(1)
                workers[0].kill()
                await _until(workers[1], steps=PARTITIONS, keeps=0)
                await asyncio.sleep(1)
            assert workers[1].figure("twinstream_restores_total", rows="cold") == 0
            # What is promised is 2 s, which the scenario `take-over` judges alone on its machine.
            assert pauses.longest_s < SESSION_S + 5
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
                # 1.2 s at most alone on two cores, where 2 s are promised; other tests run beside this one.
                assert pauses.longest_s < 4.0
                assert _assignments(staying) == before + 1
                before += 1
                workers.append(plant.worker(f"again-{number}"))
                await plant.joined(workers[-1])
                for worker in workers[-2:]:
                    await _until(worker, steps=PARTITIONS // 2, keeps=PARTITIONS // 2)
                assert _assignments(staying) <= before + 2, "it joins, and once more when it is warm"
                assert workers[-1].figure("twinstream_restores_total", rows="cold") == 0
        await plant.drained(*workers[-2:])
        for worker in workers[-2:]:
            assert worker.figure("twinstream_restores_total", rows="cold") == 0
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
        assert workers[1].figure("twinstream_restores_total", rows="cold") == PARTITIONS
    finally:
        for worker in workers:
            worker.end()
    await plant.assert_exactly_once()
