"""`docs/cli.md` names every command and every option of its own."""

from pathlib import Path

import pytest
import typer.main

from infra.cli.app import app

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
SHARED = {"--config", "-c", "--data-dir", "--json", "--url", "--help", "-h"}


def _commands() -> list[tuple[str, set[str]]]:
    """Every command that is not hidden, with its options."""
    found = []
    pending = [("", typer.main.get_command(app))]
    while pending:
        prefix, command = pending.pop()
        for name, below in getattr(command, "commands", {}).items():
            if below.hidden:
                continue
            path = f"{prefix} {name}".strip()
            if hasattr(below, "commands"):
                pending.append((path, below))
            else:
                options = {word for parameter in below.params for word in parameter.opts if word.startswith("-")}
                found.append((path, options - SHARED))
    return found


@pytest.mark.parametrize(("path", "options"), _commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_and_option_is_documented(path: str, options: set[str]) -> None:
    assert f"`{path}" in TEXT
    assert {option for option in options if f"`{option}" not in TEXT} == set()


def test_every_command_has_json() -> None:
    for prefix, command in [("", typer.main.get_command(app))]:
        for name, below in getattr(command, "commands", {}).items():
            for leaf in getattr(below, "commands", {name: below}).values():
                options = {word for parameter in leaf.params for word in parameter.opts}
                assert leaf.hidden or "--json" in options, f"{prefix} {leaf.name}"
