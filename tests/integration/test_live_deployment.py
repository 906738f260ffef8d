"""Versions put into force on a real Kafka while records flow: each is stepped by one version, and nothing restarts."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest
from support import oracle
from support.plant import PARTITIONS, Plant, made

from infra.deployment.deployer import deploy, rollback, undeploy
from infra.deployment.switching import write_bundle
from infra.settings import Settings
from schemas.bundle import Bundle, read_folder
from schemas.clock import SystemClock
from schemas.deployment import Switch
from schemas.errors import DefinitionError, SetupError
from schemas.headers import Kind, input_headers
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter
from twins.catalogue import Catalogue

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
async def plant(kafka: KafkaOptions, tmp_path: Path) -> Plant:
    return await made(KafkaOptions(kafka.bootstrap_servers), tmp_path)


@pytest.fixture
def settings(kafka: KafkaOptions, tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {"data_dir": tmp_path, "kafka": {"bootstrap_servers": kafka.bootstrap_servers, "partitions": PARTITIONS}}
    )


RENAMED = {
    "name: statistics\n    step": "name: figures\n    step",
    "outputs:\n  timeseries": "migration:\n  state: {figures.mean: statistics.mean, figures.count: statistics.count}\n"
    "outputs:\n  timeseries",
}


def _improved(plant: Plant, version: str, changes: Mapping[str, str] = MappingProxyType({})) -> Bundle:
    """A copy of the type under another version, with texts of `twin.yaml` replaced."""
    first = next(iter(plant.folders.values()))
    folder = first.with_name(f"type-{version}")
    folder.mkdir()
    for file in first.glob("*.*"):
        folder.joinpath(file.name).write_bytes(file.read_bytes())
    definition = folder / "twin.yaml"
    text = definition.read_text().replace("version: 1.0.0", f"version: {version}")
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    definition.write_text(text)
    bundle = read_folder(folder)
    plant.folders[bundle.hash] = folder
    return bundle


async def _version(plant: Plant) -> str:
    async with Catalogue(plant.kafka) as catalogue:
        await catalogue.ready()
        deployed = catalogue.get(plant.type_name)
        assert deployed is not None
        return deployed.definition.version


async def test_versions_switch_under_load_and_kills_and_each_record_is_stepped_by_one(
    plant: Plant, settings: Settings
) -> None:
    workers = [plant.worker("first")]
    try:
        async with plant.load():
            await plant.working()
            await plant.joined(workers[0])
            await deploy(settings, _improved(plant, "1.1.0", {"default: 90": "default: 75"}), who="ann")
            await asyncio.to_thread(workers[0].kill)
            workers.append(plant.worker("second"))
            await plant.joined(workers[1])
            await deploy(settings, _improved(plant, "1.2.0", RENAMED), who="ann")
            back = await rollback(settings, plant.type_name, who="bob")
            assert back.version == "1.1.0"
            plant.switches += 3
        await plant.drained(workers[1])
        assert workers[1].running()
        assert await asyncio.to_thread(workers[1].stop) == 0
    finally:
        for worker in workers:
            worker.end()
    await plant.assert_exactly_once()
    async with Catalogue(plant.kafka) as catalogue:
        await catalogue.ready()
        history = catalogue.history(plant.type_name)
    assert [(item.version, item.who) for item in history] == [
        ("1.0.0", "tests"),
        ("1.1.0", "ann"),
        ("1.2.0", "ann"),
        ("1.1.0", "bob"),
    ]
    records = await oracle.read_all(plant.kafka, (plant.topics.telemetry,))
    switches = {(record.partition, record.offset) for record in records if record.header("ts-kind") == b"switch"}
    assert switches == {place for item in history for place in item.start.items()}


async def test_what_no_worker_compiles_changes_nothing(plant: Plant, settings: Settings) -> None:
    improved = _improved(plant, "1.1.0")
    with pytest.raises(SetupError, match="no worker has compiled"):
        await deploy(settings, improved, patience_s=2.0)
    assert await _version(plant) == "1.0.0"
    records = await oracle.read_all(plant.kafka, (plant.topics.telemetry,))
    assert len(records) == PARTITIONS, "the first version's switches alone"


async def test_a_version_that_a_worker_cannot_compile_is_refused_with_its_faults(
    plant: Plant, settings: Settings
) -> None:
    worker = plant.worker("first")
    try:
        await plant.joined(worker)
        improved = _improved(plant, "1.1.0")
        folder = plant.folders.pop(improved.hash)
        (folder / "alarm.py").write_text("def above(value, limit):\n    return open(str(value)) > limit\n")
        with pytest.raises(DefinitionError) as refused:
            await deploy(settings, read_folder(folder))
        assert [(problem.file, problem.line) for problem in refused.value.problems] == [("alarm.py", 2)]
        await plant.send(500, 2000.0)
        await plant.drained(worker)
    finally:
        worker.end()
    assert await _version(plant) == "1.0.0"
    await plant.assert_exactly_once()


async def test_a_partition_that_meets_a_version_it_does_not_have_waits_for_it(plant: Plant) -> None:
    later = _improved(plant, "1.1.0", {"default: 90": "default: 75"})
    worker = plant.worker("first")
    topic = plant.topics.telemetry
    try:
        await plant.send(200, 2000.0)
        await plant.drained(worker)
        headers = input_headers(received_ns=SystemClock().now_ns(), source="tests", kind=Kind.SWITCH)
        async with LogWriter(plant.kafka) as writer:
            value = msgspec.json.encode(Switch(definition=later.hash))
            for partition in range(PARTITIONS):
                await (await writer.send(topic, None, value, headers=headers, partition=partition))
            await plant.send(200, 2000.0)
            await asyncio.sleep(2.0)
            assert await plant.lag() == 200 + PARTITIONS, "what came before the switch is committed, and no more"
            assert worker.running()
            await write_bundle(writer, later, SystemClock().now_ns(), "tests")
        plant.switches += 1
        await plant.drained(worker)
        assert await asyncio.to_thread(worker.stop) == 0
    finally:
        worker.end()
    await plant.assert_exactly_once()


async def test_what_is_in_force_already_is_not_deployed_again_and_topics_stay_unless_told(
    plant: Plant, settings: Settings
) -> None:
    (folder,) = plant.folders.values()
    deployment = await deploy(settings, read_folder(folder), patience_s=1.0)
    assert deployment.who == "tests"
    with pytest.raises(SetupError, match="only version"):
        await rollback(settings, plant.type_name)
    topics = set(TypeTopics(plant.type_name).all())
    retired = await undeploy(settings, plant.type_name)
    assert retired is not None
    assert await undeploy(settings, plant.type_name) is None
    async with LogAdmin(plant.kafka) as admin:
        assert topics <= await admin.topics()
        await undeploy(settings, plant.type_name, topics_too=True)
        async with asyncio.timeout(20):
            while topics & await admin.topics():  # noqa: ASYNC110 - Kafka has no event for it
                await asyncio.sleep(0.1)


async def test_a_switch_holds_records_up_for_a_moment_only(plant: Plant, settings: Settings) -> None:
    worker = plant.worker("first")
    committed: list[tuple[float, int]] = []

    async def watch() -> None:
        async with LogAdmin(plant.kafka) as admin:
            while True:
                done = await admin.committed(f"twinstream-{plant.type_name}", [plant.topics.telemetry])
                committed.append((time.monotonic(), sum(done.values())))
                await asyncio.sleep(0.02)

    try:
        async with plant.load():
            await plant.joined(worker)
            await plant.working()
            watching = asyncio.create_task(watch())
            await deploy(settings, _improved(plant, "1.1.0", {"default: 90": "default: 75"}))
            await asyncio.sleep(1.0)
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            plant.switches += 1
        await plant.drained(worker)
    finally:
        worker.end()
    moves = [at for (_, before), (at, now) in itertools.pairwise(committed) if now > before]
    pause_s = max(after - before for before, after in itertools.pairwise(moves))
    # On a machine of its own it is a fraction of a second; here other tests run beside it.
    assert pause_s < 5.0, f"nothing was committed for {pause_s:.2f} s"
    await plant.assert_exactly_once()
