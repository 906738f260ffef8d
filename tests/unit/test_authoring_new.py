"""`twinstream new`: a folder that checks, tests and tries from the first moment."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from infra.authoring.folder import create
from infra.cli.app import app
from infra.cli.authoring import _own_type, called
from schemas.bundle import read_folder
from schemas.errors import SetupError
from twins.check import check_folder


def _new(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["new", *words])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["twinstream"])


def test_a_new_folder_passes_the_check(tmp_path: Path) -> None:
    _new("pump")
    assert check_folder(tmp_path / "pump") == []


def test_a_new_definition_has_something_of_everything_and_a_middle_of_every_range(tmp_path: Path) -> None:
    create("pump", tmp_path)
    definition = read_folder(tmp_path / "pump").definition()
    assert (definition.name, definition.version) == ("pump", "1.0.0")
    assert all(declared.type == "float" and declared.range for declared in definition.inputs.values())
    assert all(declared.default for declared in definition.parameters.values())
    assert set(definition.outputs.timeseries.fields) & set(definition.fields())
    assert len((tmp_path / "pump" / "pump_step.py").read_text().splitlines()) <= 15


@pytest.mark.slow
@pytest.mark.parametrize("where", [".", "..", "/", "pump"])
def test_the_test_of_a_new_folder_passes_from_any_directory(tmp_path: Path, where: str) -> None:
    create("pump", tmp_path)
    # What a project above sets for its own tests, plugins that are not there included, is not for this folder.
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-config\nno_such_option = 1\n")
    before = read_folder(tmp_path / "pump").hash
    argv = [sys.executable, "-W", "error", "-m", "pytest", "-q", str(tmp_path / "pump")]
    done = subprocess.run(argv, cwd=tmp_path / where, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert read_folder(tmp_path / "pump").hash == before, "what pytest leaves behind is no part of the type"


def test_several_new_folders_are_tested_in_one_run(tmp_path: Path) -> None:
    create("pump", tmp_path)
    create("fan", tmp_path)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "pump", "fan"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["on", "null", "yes", "a", "test_a", "json", "x" * 40])
def test_every_name_of_the_grammar_makes_a_definition_of_that_name(tmp_path: Path, name: str) -> None:
    create(name, tmp_path)
    assert read_folder(tmp_path / name).definition().name == name


@pytest.mark.parametrize("name", ["Pump", "1pump", "pu-mp", "plant-pump", "../pump", "", "x" * 41, "pümp"])
def test_a_name_outside_the_grammar_is_wrong_use(tmp_path: Path, name: str) -> None:
    _new(name, code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("My Pump", "'My Pump': a name is 1 to 40 of a-z, 0-9 and _, the first one of a-z: my_pump is one"),
        ("site-pump", "site_pump is one; a project is a key of twin.yaml"),
        ("1. pümp!", "pump is one"),
        ("7", "the first one of a-z"),
        ("x" * 41, f"{'x' * 40} is one"),
        ("plant/new/pump/", "is a path, and the folder is made here: `cd` to plant/new and name pump alone"),
        ("/pump", "`cd` to / and name pump alone"),
        ("new/My Pump", "my_pump is one"),
    ],
)
def test_a_name_outside_the_grammar_is_told_with_one_that_is_within(name: str, why: str) -> None:
    with pytest.raises(typer.BadParameter) as refused:
        _own_type(name)
    assert why in str(refused.value)


def test_programs_are_called_by_their_name_only_where_that_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / ".venv" / "bin"
    own.mkdir(parents=True)
    for name in ("python", "twinstream"):
        (own / name).touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(own / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert called("twinstream") == ".venv/bin/twinstream"
    monkeypatch.setenv("PATH", str(own))
    assert called("twinstream") == "twinstream"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("PATH", "")
    assert called("python") == str(own / "python")


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_there_already_is_left_alone(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / "pump").mkdir()
    elif kind == "file":
        (tmp_path / "pump").touch()
    else:
        (tmp_path / "pump").symlink_to("nowhere")
    before = list(tmp_path.rglob("*"))
    assert _new("pump", code=1) == "twinstream: pump is there already: choose another name, or move it away\n"
    assert list(tmp_path.rglob("*")) == before


def test_a_place_where_nothing_can_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="can't be written: No such file or directory"):
        create("pump", tmp_path / "gone")


def test_with_json_a_new_folder_is_an_object(tmp_path: Path) -> None:
    said = json.loads(_new("pump", "--json"))
    assert said == {
        "type": "pump",
        "folder": str(tmp_path / "pump"),
        "files": ["twin.yaml", "pump_step.py", "test_pump.py", "README.md", ".pytest.ini", ".twin.schema.json"],
    }
    assert {path.name for path in (tmp_path / "pump").iterdir()} == set(said["files"])
