"""The published JSON Schema: it takes what is right, refuses what is wrong by itself, and is current."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from infra.authoring.function_reference import example_of
from infra.authoring.reference import pages
from infra.authoring.template import FILES
from infra.cli.app import app
from schemas.docstrings import attributes
from schemas.quantity import Strict
from twins.definition_schema import definition_schema
from twins.functions.registry import BUILT_INS

ROOT = Path(__file__).parents[2]
SCHEMA = definition_schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
EXAMPLES = sorted((ROOT / "examples").glob("*/twin.yaml"))
TANK: dict[str, Any] = yaml.safe_load((ROOT / "tests" / "types" / "tank" / "twin.yaml").read_text())


def test_the_schema_is_one_of_draft_7() -> None:
    VALIDATOR.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "$defs" not in json.dumps(SCHEMA)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
def test_examples_fit_the_schema_and_name_it(file: Path) -> None:
    text = file.read_text()
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))] == []
    line = text.partition("\n")[0]
    assert (file.parent / line.removeprefix("# yaml-language-server: $schema=")).resolve() == (
        ROOT / "docs" / "twin.schema.json"
    )


def test_a_new_folder_fits_the_schema_that_lies_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["twinstream"])
    assert CliRunner().invoke(app, ["new", "pump"]).exit_code == 0
    text = (tmp_path / "pump" / "twin.yaml").read_text()
    named = text.partition("\n")[0].removeprefix("# yaml-language-server: $schema=")
    schema = json.loads((tmp_path / "pump" / named).read_text())
    jsonschema.Draft7Validator(schema).validate(yaml.safe_load(text))
    assert "too_hot" in FILES["twin.yaml"]


def test_the_command_prints_the_schema() -> None:
    assert json.loads(CliRunner().invoke(app, ["schema"]).stdout) == SCHEMA


@pytest.mark.parametrize("name", sorted(BUILT_INS))
def test_the_example_of_every_built_in_fits_the_schema(name: str) -> None:
    part = yaml.safe_load(example_of(BUILT_INS[name]))
    whole = {"name": "a", "version": "1.0.0", "inputs": {"x": {}}, **part}
    assert [error.message for error in VALIDATOR.iter_errors(whole)] == []


def _at(place: str, value: Any) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(json.dumps(TANK))
    *above, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    part: Any = whole
    for key in above:
        part = part[key]
    part[last] = value
    return whole


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("colour", "red"),
        ("name", "Tank"),
        ("version", "1.0"),
        ("version", 1.0),
        ("inputs", {}),
        ("inputs.level_m.colour", "red"),
        ("inputs.level_m.type", "double"),
        ("inputs.level_m.range", [1]),
        ("inputs.level_m.range", [1, 2, 3]),
        ("inputs.level-m", {}),
        ("parameters.area.default", None),
        ("provision", "sometimes"),
        ("pipeline", {}),
        ("pipeline.0.step", "../balance.py:missing_flow"),
        ("pipeline.0.step", "no_such_function"),
        ("pipeline.0.state.level_m.shape", [0]),
        ("pipeline.0.inputs", {"level": {"field": "level_m"}}),
        ("pipeline.0.inputs", {"level": {"field": "level_m", "to": "m", "too": "m"}}),
        ("pipeline.1.config", {"time_constant": 120.0}),
        ("pipeline.1.config", {"time_constant_s": -1}),
        ("pipeline.3.config.action", "heats"),
        ("outputs.timeseries.fields", "level_m"),
        ("outputs.events.leak_ended.edge", "up"),
        ("outputs.commands.pump.expires_s", 0),
        ("requests.level_desired.sets", ["level_desired"]),
    ],
)
def test_what_is_wrong_by_itself_does_not_fit_the_schema(place: str, value: Any) -> None:
    assert VALIDATOR.is_valid(TANK)
    assert not VALIDATOR.is_valid(_at(place, value))


def test_a_built_in_without_the_settings_that_it_needs_does_not_fit_the_schema() -> None:
    whole = _at("colour", "")
    del whole["colour"], whole["pipeline"][1]["config"]
    assert not VALIDATOR.is_valid(whole)


def _models(base: type[Strict] = Strict) -> list[type[Strict]]:
    return [base, *(below for one in base.__subclasses__() for below in _models(one))]


def test_every_key_is_described() -> None:
    models = [model for model in _models() if model.__module__.startswith(("schemas.", "twins."))]
    missing = {model.__name__: set(model.model_fields) - set(attributes(model)) for model in models}
    assert {name: keys for name, keys in missing.items() if keys} == {}


def test_models_of_settings_have_names_of_their_own() -> None:
    """The schema names its parts by them."""
    names = [model.__name__ for model in _models() if model.__module__.startswith(("schemas.", "twins."))]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", ["twin.schema.json", "definition.md", "functions.md"])
def test_what_is_made_from_the_code_is_current(name: str) -> None:
    remedy = "run: .venv/bin/python -m infra.authoring.reference docs"
    assert (ROOT / "docs" / name).read_text() == pages()[name], remedy
