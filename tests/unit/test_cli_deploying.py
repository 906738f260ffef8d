"""What deploying from the command line says: how it goes on, what came of it, and what to do when it fails."""

import json
import os
import re
from functools import partial
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError, KafkaTimeoutError, TransactionalIdAuthorizationFailed
from msgspec import structs
from typer.testing import CliRunner

from infra.authoring.checking import Checked
from infra.cli import deploying
from infra.cli.app import app
from infra.cli.client import Api
from infra.deployment.asking import NoAnswerError
from infra.deployment.telling import Telling, demand_succession, number_notes, route_notes
from infra.registry import Presence, Registry
from infra.settings import Settings
from infra.status import status_of
from schemas.bundle import Bundle, bundle_of
from schemas.deployment import Deployment, HistoryItem
from schemas.errors import DefinitionError, Problem, SetupError

DEFINITION = """\
name: pump
version: VERSION
inputs:
  value: {type: float}
migration:
  parameters: {}
  state: {}
"""
NOTE = "with all inputs at mid-range twins go into quarantine: a step raised IndexError"
IN_FORCE = Deployment(type="pump", project="main", version="1.1.0", hash="f" * 64, chunks=1, time_ns=10**18, who="ann")


def _bundle(version: str = "1.1.0") -> Bundle:
    return bundle_of({"twin.yaml": DEFINITION.replace("VERSION", version).encode()})


def _item(version: str, content: str) -> HistoryItem:
    return HistoryItem(type="pump", version=version, hash=content, chunks=1, time_ns=1, who="", start={})


def test_version_numbers_that_mislead_are_noted() -> None:
    definition, past = _bundle().definition(), [_item("1.0.0", "a"), _item("1.1.0", "b"), _item("1.2.0", "c")]
    newer = structs.replace(IN_FORCE, version="1.10.0")
    first, second = number_notes(definition, "d", newer, past)
    assert "version 1.1.0 was in force before with other content (b, now d)" in first
    assert "1.1.0 is older than 1.10.0" in second
    assert "`twinstream rollback pump`" in second
    assert number_notes(definition, "b", IN_FORCE, past) == []
    assert number_notes(definition, "d", None, []) == []


def test_a_route_to_a_type_that_is_not_deployed_is_noted() -> None:
    route = "{type: tank, id: number, as: {level: value}}"
    text = DEFINITION.replace("VERSION", "1.0.0").replace(
        "inputs:", "parameters: {number: {type: int, default: 1}}\ninputs:"
    )
    text += f"outputs: {{timeseries: {{fields: [value], route: {route}}}}}\n"
    definition = bundle_of({"twin.yaml": text.encode()}).definition()
    (note,) = route_notes(definition, {"pump"})
    assert "outputs.timeseries is routed to tank, which is not deployed: deploy that first" in note
    assert route_notes(definition, {"tank"}) == route_notes(_bundle().definition(), set()) == []


def test_a_migration_that_fits_nothing_is_refused_at_its_line() -> None:
    text = DEFINITION.replace("VERSION", "1.2.0").replace("parameters: {}", "parameters: {limit: limt}")
    text = text.replace("inputs:", "parameters:\n  limit: {default: 1}\ninputs:")
    with pytest.raises(DefinitionError, match=r"twin\.yaml:8: migration\.parameters\.limit: no parameter limt before"):
        demand_succession(bundle_of({"twin.yaml": text.encode()}), _bundle().definition())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that checks, beside a Kafka that nothing asks."""
    (tmp_path / "twin.yaml").write_text(DEFINITION.replace("VERSION", "1.1.0"))
    monkeypatch.setattr("infra.cli.log.settings_with_log", lambda *_: Settings(data_dir=tmp_path / "data"))
    monkeypatch.setattr("infra.cli.definitions.examine_apart", lambda *_: Checked([], [NOTE]))
    return tmp_path


def test_each_stage_and_note_is_a_line_though_nobody_watches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deploys(*_: object, telling: Telling, **__: object) -> Deployment:
        telling.note("state that begins anew: a.b")
        telling.stage("compiled by worker w")
        telling.is_written = True
        return IN_FORCE

    monkeypatch.setattr(deploying, "deploy", deploys)
    said = CliRunner().invoke(app, ["deploy", str(folder)])
    assert said.stdout == f"pump 1.1.0 is deployed ({'f' * 12})\n"
    assert said.stderr.splitlines() == [
        f"twinstream: note: {NOTE}",
        f"twinstream: {folder} is checked",
        "twinstream: no worker runs here: one elsewhere has 60 s to compile it",
        "twinstream: note: state that begins anew: a.b",
        "twinstream: compiled by worker w",
    ]


def test_what_is_in_force_already_is_told_as_such(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deploys(*_: object, **__: object) -> Deployment:
        return IN_FORCE

    monkeypatch.setattr(deploying, "deploy", deploys)
    said = CliRunner().invoke(app, ["deploy", str(folder)]).stdout
    assert f"pump 1.1.0 is in force already ({'f' * 12}), since" in said
    assert "by ann: nothing changed" in said


@pytest.mark.usefixtures("folder")
def test_twins_that_stay_in_quarantine_are_told_with_how_to_release_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async def goes_back(*_: object, **__: object) -> Deployment:
        return IN_FORCE

    monkeypatch.setattr(deploying, "rollback", goes_back)
    monkeypatch.setattr(Api, "get", lambda *_: {"twins": 3})
    monkeypatch.setattr(Api, "items", lambda *_, **__: [{"status": "quarantined"}] * 2)
    said = CliRunner().invoke(app, ["rollback", "pump", "--url", "http://127.0.0.1:1"])
    assert "note: twins of pump in quarantine: 2; no version ends that" in said.stderr
    assert "`twinstream request pump release --status quarantined`" in said.stderr


def test_who_stops_a_deployment_is_told_where_to_look(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stopped(*_: object, **__: object) -> Deployment:
        raise KeyboardInterrupt

    monkeypatch.setattr(deploying, "deploy", stopped)
    said = CliRunner().invoke(app, ["deploy", str(folder)])
    assert said.exit_code == 130
    assert "stopped: `twinstream types --history` shows whether it was switched" in said.stderr


def test_machines_are_told_what_was_written_and_noted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deploys(*_: object, telling: Telling, **__: object) -> Deployment:
        telling.note("state that is dropped: a.b")
        return IN_FORCE

    monkeypatch.setattr(deploying, "deploy", deploys)
    said = CliRunner().invoke(app, ["deploy", str(folder), "--json"])
    told = json.loads(said.stdout)
    assert (told["written"], told["notes"]) == (False, [NOTE, "state that is dropped: a.b"])
    assert said.stderr == ""


def test_faults_that_a_worker_found_are_told_where_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deploys(*_: object, **__: object) -> Deployment:
        raise DefinitionError([Problem("steps.py", 3, "step", "no", "mend it")])

    monkeypatch.setattr(deploying, "deploy", deploys)
    said = CliRunner().invoke(app, ["deploy", str(folder)])
    assert said.exit_code == 1
    assert f"twinstream: {folder}/steps.py:3: step: no (mend it)" in said.stderr


async def test_without_an_answer_workers_are_told_with_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waits(*_: object, **__: object) -> None:
        message = "no worker has compiled pump"
        raise NoAnswerError(message)

    monkeypatch.setattr(deploying, "rollback", waits)
    registry, settings = Registry(tmp_path), Settings(data_dir=tmp_path)
    with pytest.raises(SetupError, match="`twinstream worker` starts one"):
        await deploying.roll_back("pump", settings, None, registry, Telling())
    Presence(registry, "worker").change(ready=True)
    Presence(registry, "worker:pump").change(detail="compiling version 1.1.0")
    with pytest.raises(
        SetupError,
        match=re.escape(
            f"worker (ready), worker:pump (compiling version 1.1.0); see their logs in {tmp_path / 'logs'}"
        ),
    ):
        await deploying.roll_back("pump", settings, None, registry, Telling())
    # What it said of itself before it stood still says nothing.
    monkeypatch.setattr("infra.cli.deploying.status_of", partial(status_of, ask=lambda _: {}))
    Presence(registry, "worker").change(ready=True, port=1)
    with pytest.raises(SetupError, match=rf"no answer from worker \(pid {os.getpid()}\),.* though running"):
        await deploying.roll_back("pump", settings, None, registry, Telling())


@pytest.mark.parametrize("error", [KafkaTimeoutError(), TransactionalIdAuthorizationFailed("twinstream-deploy-pump")])
async def test_a_failure_of_kafka_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: KafkaError
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise error

    settings = Settings(data_dir=tmp_path)
    for command in ("rollback", "undeploy"):
        monkeypatch.setattr(deploying, command, fails)
    said = re.escape(f"failed: {error}")
    with pytest.raises(SetupError, match=said):
        await deploying.roll_back("pump", settings, None, None, Telling())
    with pytest.raises(SetupError, match="shows what is in force now"):
        await deploying.undeploy_type(settings, "pump", topics_too=False)
