"""Deployers that meet, are refused or lose Kafka: what they say is what became of it, and they leave nothing behind."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.errors import KafkaTimeoutError

from infra.deployment import asking, deployer
from infra.deployment.asking import compiled
from infra.deployment.deployer import deploy, rollback, undeploy
from infra.deployment.switching import write_record
from infra.deployment.telling import Telling
from infra.roles.candidates import answer_candidates
from infra.settings import Settings
from schemas.bundle import Bundle, bundle_of
from schemas.deployment import Deployment
from schemas.errors import DefinitionError, Problem, SetupError
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter
from twins.catalogue import Catalogue

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
DEFINITION = """\
name: NAME
version: VERSION
inputs:
  value: {type: float}
outputs:
  timeseries: {fields: [value]}
"""


@pytest.fixture
def settings(kafka: KafkaOptions, tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {"data_dir": tmp_path, "kafka": {"bootstrap_servers": kafka.bootstrap_servers, "partitions": 8}}
    )


@pytest.fixture
def name() -> str:
    return f"probe_{random.randrange(10**9)}"


def _version(name: str, version: str) -> Bundle:
    return bundle_of({"twin.yaml": DEFINITION.replace("NAME", name).replace("VERSION", version).encode()})


@asynccontextmanager
async def _worker(settings: Settings, seconds: float = 0.0, *problems: Problem) -> AsyncIterator[None]:
    """A worker that takes its time."""

    async def compile_(_: Deployment) -> list[Problem]:
        await asyncio.sleep(seconds)
        return list(problems)

    async with Catalogue(settings.kafka.options()) as catalogue:
        await catalogue.ready()
        answering = asyncio.create_task(answer_candidates(settings.kafka.options(), catalogue, compile_))
        try:
            yield
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)


async def test_of_two_deployers_one_wins_and_the_other_is_told_at_once(settings: Settings, name: str) -> None:
    async with _worker(settings, 1.0), asyncio.timeout(20):
        slow = asyncio.create_task(deploy(settings, _version(name, "1.0.0")))
        await asyncio.sleep(0.8)
        quick = await deploy(settings, _version(name, "2.0.0"))
        with pytest.raises(SetupError, match="another deployment"):
            await slow
    async with Catalogue(settings.kafka.options()) as catalogue:
        await catalogue.ready()
        assert [item.version for item in catalogue.history(name)] == ["2.0.0"]
        assert catalogue.types()[name].deployment == quick


async def test_a_deployer_whose_answer_comes_after_another_switch_changes_nothing(
    settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(catalogue: Catalogue, candidate: Deployment, patience_s: float) -> str:
        answer = await compiled(catalogue, candidate, patience_s)
        if candidate.version == "1.0.0":
            await deploy(settings, _version(name, "2.0.0"))
            await asyncio.sleep(0.5)
        return answer

    monkeypatch.setattr(deployer, "compiled", late)
    async with _worker(settings):
        with pytest.raises(SetupError, match="another deployment"):
            await deploy(settings, _version(name, "1.0.0"))
    async with Catalogue(settings.kafka.options()) as catalogue:
        await catalogue.ready()
        assert [item.version for item in catalogue.history(name)] == ["2.0.0"]


async def test_what_is_refused_leaves_neither_topics_nor_questions_nor_answers(settings: Settings, name: str) -> None:
    topics = set(TypeTopics(name).all())
    with pytest.raises(SetupError, match="is not deployed"):
        await rollback(settings, name)
    with pytest.raises(SetupError, match="no worker"):
        await deploy(settings, _version(name, "1.0.0"), patience_s=0.5)
    fault = Problem("twin.yaml", 1, "", "no", "mend it")
    async with _worker(settings, 0.0, fault):
        with pytest.raises(DefinitionError, match="mend it"):
            await deploy(settings, _version(name, "1.0.0"))
    async with LogAdmin(settings.kafka.options()) as admin:
        assert not topics & await admin.topics()
    async with Catalogue(settings.kafka.options()) as catalogue:
        await catalogue.ready()
        assert name not in catalogue.candidates()
        assert catalogue.reports(_version(name, "1.0.0").hash) == []
        assert catalogue.history(name) == []


async def test_a_deployment_that_was_made_is_one_though_kafka_goes_away_afterwards(
    settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(writer: LogWriter, record_key: bytes, value: bytes | None) -> None:
        if value is None:
            raise KafkaTimeoutError
        await write_record(writer, record_key, value)

    monkeypatch.setattr(asking, "write_record", away)
    async with _worker(settings):
        made = await deploy(settings, _version(name, "1.0.0"))
    assert made.version == "1.0.0"


async def test_a_type_comes_back_after_its_topics_were_deleted(settings: Settings, name: str) -> None:
    topics = set(TypeTopics(name).all())
    async with _worker(settings):
        await deploy(settings, _version(name, "1.0.0"))
        await undeploy(settings, name, topics_too=True)
        async with LogAdmin(settings.kafka.options()) as admin:
            assert not topics & await admin.topics(), "who is told that topics are gone can rely on it"
        again = await deploy(settings, _version(name, "1.0.0"))
    async with Catalogue(settings.kafka.options()) as catalogue:
        await catalogue.ready()
        assert catalogue.types()[name].deployment == again
        assert [item.start for item in catalogue.history(name)][-1] == dict.fromkeys(range(8), 0)


async def test_what_does_not_go_on_is_refused_or_told_before_anything_changes(settings: Settings, name: str) -> None:
    first = DEFINITION + "parameters: {limit: {default: 1}, most: {default: 1}}\n"
    second = DEFINITION + "parameters: {limits: {default: 1}}\nmigration: {parameters: {limits: limt}}\n"

    def bundle(text: str, version: str) -> Bundle:
        return bundle_of({"twin.yaml": text.replace("NAME", name).replace("VERSION", version).encode()})

    async with _worker(settings):
        one = await deploy(settings, bundle(first, "1.1.0"))
        await undeploy(settings, name, who="bob")
        with pytest.raises(
            DefinitionError, match=r"twin.yaml:8: migration.parameters.limits: no parameter limt before"
        ):
            await deploy(settings, bundle(second, "1.2.0"))
        telling = Telling()
        await deploy(settings, bundle(second.replace("limt", "limit"), "1.1.0"), telling=telling)
        assert telling.is_written
        assert [note.split()[0] for note in telling.notes] == ["version", "parameters"]
        assert one.hash[:12] in telling.notes[0]
        assert telling.notes[1] == "parameters whose values are dropped: most"
        back, telling = await rollback(settings, name, telling=telling), Telling()
        assert (back.hash, back.version) == (one.hash, "1.1.0")
        assert await deploy(settings, bundle(first, "1.1.0"), telling=telling) == back
    assert not telling.is_written
    async with Catalogue(settings.kafka.options()) as catalogue:
        await catalogue.ready()
        assert [(item.version, item.who) for item in catalogue.undeployed(name)] == [("1.1.0", "bob")]
        assert [item.version for item in catalogue.history(name)] == ["1.1.0"] * 3
