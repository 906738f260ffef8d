"""The command `account`."""

from typing import Annotated

import typer

from infra.cli.connecting import connect
from infra.cli.options import AsJson, Config, DataDir, Limit, Url
from infra.cli.output import show_json, show_table

_COLUMNS = ("source", "type", "expected", "received", "duplicate", "late", "deadlettered", "missing")


def account(
    *,
    type_name: Annotated[str | None, typer.Option("--type", metavar="T", help="Only of this type.")] = None,
    twins: Annotated[bool, typer.Option("--twins", help="Show which twins' messages are missing, and which.")] = False,
    limit: Limit = 100,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what was expected of devices, what came, and what is missing; also while Kafka or a bridge is away."""
    api = connect(url, data_dir, config)
    if twins:
        items = api.get("account", "twins", query={"type": type_name, "limit": limit})["items"]
    else:
        items = api.get("account", query={"type": type_name})["items"]
    if as_json:
        show_json({"items": items})
    elif twins:
        rows = [[row["type"], row["id"], row["source"], row["missing"], _ranges(row["ranges"])] for row in items]
        show_table(("type", "id", "source", "missing", "counters"), rows, empty="nothing is missing")
    else:
        show_table(_COLUMNS, [[row[name] for name in _COLUMNS] for row in items], empty="no telemetry came yet")


def _ranges(ranges: list[list[int]]) -> str:
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(account)
