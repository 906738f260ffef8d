"""The command `status`."""

# Commands import what they need when they run, so that `--help` and client commands answer at once.
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Any

import typer

from infra.cli.connecting import connect
from infra.cli.options import AsJson, Config, DataDir, Url, read_settings
from infra.cli.output import fail, show_json, show_table
from infra.registry import Registry


def status(*, config: Config = None, data_dir: DataDir = None, url: Url = None, as_json: AsJson = False) -> None:
    """Show what every role is doing; answers also while a broker or a role is away."""
    found: dict[str, Any] = connect(url, data_dir, config).get("status") if url else _nearby(config, data_dir)
    if as_json:
        show_json(found)
        return
    rows = [
        [
            role["name"],
            role["pid"],
            "up" if role["up"] else "SILENT" if role["pid"] else "DOWN",
            role["ready"],
            role["lag"],
            role["restarts"],
            role["detail"] or "-",
        ]
        for role in found["items"]
    ]
    show_table(("role", "pid", "state", "ready", "lag", "restarts", "detail"), rows, empty="no roles")
    typer.echo(f"API {found['url'] or 'is not up'} · data in {found['data_dir']}")


def _nearby(config: Path | None, data_dir: Path | None) -> dict[str, Any]:
    """From the run files of a data directory, whether the API is up or not."""
    from infra.status import as_document, status_of

    settings = read_settings(config, data_dir)
    seen = status_of(Registry(settings.data_dir))
    if not seen.running:
        fail(f"nothing runs in {settings.data_dir}: start with `twinstream up`, or name another --data-dir")
    return as_document(seen)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)
