"""A type whose step never ends, and processes whose parent is killed: nothing hangs and nothing is left behind."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.instance import Instance, eventually
from support.worker_role import WorkerRole

from infra.deployment.deployer import deploy
from infra.deployment.switching import put_into_force
from infra.registry import Registry
from infra.scraping import exposition_at
from infra.settings import Settings
from schemas.bundle import bundle_of, read_folder
from schemas.topics import TypeTopics
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.writer import LogWriter

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(240)]

YAML = """
name: NAME
version: 1.0.0
inputs: {x: {}}
pipeline:
  # So many rounds that it takes years.
  - {name: a, step: "a.py:step", limits: {iterations: 1000000000000000000}, outputs: [y]}
outputs:
  timeseries: {fields: [y]}
"""
CODE = '''"""Loops for ever on a large x."""


def step(x: float) -> float:
    """Never come back from x > 100."""
    while x > 100.0:
        x = x + 1.0
    return x
'''


@pytest.fixture
async def endless(kafka: KafkaOptions, tmp_path: Path) -> tuple[str, KafkaOptions]:
    """The type, deployed under a name of its own."""
    name = f"endless_{random.randrange(10**9)}"
    folder = tmp_path / "type"
    folder.mkdir()
    (folder / "twin.yaml").write_text(YAML.replace("NAME", name))
    (folder / "a.py").write_text(CODE)
    options = KafkaOptions(kafka.bootstrap_servers)
    await put_into_force(options, read_folder(folder), 8, who="tests")
    return name, options


async def _send(options: KafkaOptions, name: str, x: float) -> None:
    async with LogWriter(options) as writer:
        await (await writer.send(TypeTopics(name).telemetry, b"t-1", b'{"x": %f}' % x))


async def _until(condition: Callable[[], Any], timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - other processes are watched
            await asyncio.sleep(0.05)


async def test_a_step_without_end_kills_its_worker_its_type_is_stopped_after_three_times_and_mended_by_a_version(
    endless: tuple[str, KafkaOptions], tmp_path: Path
) -> None:
    name, options = endless
    timeout = {"TWINSTREAM_ENGINE__STEP_TIMEOUT_S": "2", "TWINSTREAM_ENGINE__SESSION_TIMEOUT_S": "6"}
    worker = WorkerRole(name, options.bootstrap_servers, tmp_path / "data", **timeout)
    try:
        await _send(options, name, 1.0)
        await _send(options, name, 500.0)
        await _until(lambda: (view := worker.view()) and view.phase == "alarmed", 120)
        view = worker.view()
        assert view is not None
        assert "died 3 times at partition" in view.detail
        assert view.restarts == 2
        assert worker.process.poll() is None
        assert "a step took longer than engine.step_timeout_s, 2 s" in (tmp_path / "data" / "worker.out").read_text()
        mended = read_folder(tmp_path / "type").files
        mended |= {"a.py": CODE.replace("x + 1.0", "x / 2.0").encode()}
        mended |= {"twin.yaml": mended["twin.yaml"].replace(b"version: 1.0.0", b"version: 1.0.1")}
        kafka = {"bootstrap_servers": options.bootstrap_servers}
        await deploy(Settings.model_validate({"data_dir": tmp_path, "kafka": kafka}), bundle_of(mended))
        await _until(lambda: (view := worker.view()) and view.phase == "running", 60)
        async with asyncio.timeout(60), Follower(options, topics=(TypeTopics(name).timeseries,)) as follower:
            while not any(b"y=62.5" in (record.value or b"") for record in await follower.read(0.5)):
                assert worker.process.poll() is None
    finally:
        worker.end()


async def test_a_worker_that_stands_still_while_records_wait_is_started_anew_and_counted(
    endless: tuple[str, KafkaOptions], tmp_path: Path
) -> None:
    name, options = endless
    # The step's own watchdog would wait far longer.
    settings = {"TWINSTREAM_ENGINE__STALL_TIMEOUT_S": "4", "TWINSTREAM_ENGINE__STEP_TIMEOUT_S": "600"}
    worker = WorkerRole(name, options.bootstrap_servers, tmp_path / "data", **settings)
    try:
        await _until(lambda: (child := worker.child()) and child.detail.startswith("partitions"), 60)
        for x in (1.0, 500.0):
            await _send(options, name, x)
        async with asyncio.timeout(60):
            while not (view := worker.view()) or not view.restarts:
                await _send(options, name, 2.0)
                await asyncio.sleep(0.5)
        port = Registry(tmp_path / "data").find("worker")
        assert port is not None
        figures = await asyncio.to_thread(exposition_at, port.port or 0, 10.0) or ""
        assert f'twinstream_stuck_restarts_total{{type="{name}"}} 1.0' in figures
        assert "ended by its watchdog" in (tmp_path / "data" / "worker.out").read_text()
    finally:
        worker.end()


@pytest.mark.parametrize("phase", ["starting", "compiling", "partitions", "stepping"])
async def test_no_process_outlives_a_killed_worker(
    phase: str, endless: tuple[str, KafkaOptions], tmp_path: Path
) -> None:
    name, options = endless
    worker = WorkerRole(name, options.bootstrap_servers, tmp_path / "data")
    try:
        if phase == "starting":
            await _until(lambda: len(worker.tree()) > 1, 30)
        else:
            detail = "compiling" if phase == "compiling" else "partitions"
            await _until(lambda: (child := worker.child()) and child.detail.startswith(detail), 60)
        if phase == "compiling":
            await asyncio.sleep(1.5)  # Kafka has been asked by then
        if phase == "stepping":
            await _send(options, name, 500.0)
            await asyncio.sleep(2)
        tree = worker.tree()
        assert len(tree) > 1
        worker.process.kill()
        worker.process.wait(10)
        _, alive = await asyncio.to_thread(psutil.wait_procs, tree, 10)
        assert not alive
    finally:
        worker.end()


def test_no_process_outlives_a_killed_instance(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "data")
    instance.__enter__()
    try:
        pid = instance.pid
        instance.run("deploy", "tests/types/tank")
        eventually(lambda: "worker:tank" in instance.run("status"), "the worker's child")
        tree = psutil.Process(pid).children(recursive=True)
        assert len(tree) > 7
        psutil.Process(pid).kill()
        _, alive = psutil.wait_procs(tree, 10)
        assert not alive
    finally:
        instance.stop()
