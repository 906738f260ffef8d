"""Whoever waits at a terminal sees for what and how long; nobody else sees anything."""

import io
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from infra.authoring.checking import Checked
from infra.cli.app import app
from infra.cli.waiting import waiting


def test_a_terminal_shows_the_title_and_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    shown = io.StringIO()
    with waiting("pump: [checking]", Console(file=shown, force_terminal=True, width=80)):
        pass
    assert "pump: [checking]" in shown.getvalue()
    assert "0:00:00" in shown.getvalue()
    assert capsys.readouterr() == ("", "")


def test_elsewhere_nothing_is_shown() -> None:
    shown = io.StringIO()
    with waiting("pump", Console(file=shown)) as hidden, hidden():
        pass
    assert shown.getvalue() == ""


def test_lines_are_written_where_the_title_was(capsys: pytest.CaptureFixture[str]) -> None:
    shown = io.StringIO()
    with waiting("pump", Console(file=shown, force_terminal=True, width=80)) as hidden:
        with hidden():
            before = shown.getvalue()
            typer.echo("line")
            assert shown.getvalue() == before
        assert len(shown.getvalue()) > len(before), "it is there again"
    assert capsys.readouterr() == ("line\n", "")


def test_check_shows_that_it_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "twin.yaml").touch()
    titles: list[str] = []
    real = waiting

    def noted(title: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
        titles.append(title)
        return real(title)

    monkeypatch.setattr("infra.cli.definitions.waiting", noted)
    monkeypatch.setattr("infra.cli.definitions.examine_apart", lambda *_, **__: Checked([]))
    assert CliRunner().invoke(app, ["check", str(tmp_path)]).exit_code == 0
    assert titles == [f"{tmp_path}: checking and compiling"]
