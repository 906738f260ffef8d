"""Commands about twins: `twins` and `request`."""

# Commands import what they need when they run, so that `--help` and client commands answer at once.
# ruff: noqa: PLC0415

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.connecting import connect
from infra.cli.key_values import pairs, parse_values
from infra.cli.options import AsJson, Config, DataDir, Limit, Url, finite
from infra.cli.output import FAILED, fail, plain, show_json, show_table, show_tree
from infra.cli.units import units_of, with_units

if TYPE_CHECKING:
    from infra.cli.client import Api

_OUTCOME_TIMEOUT_S = 5.0
_TOLD_EACH = 500


class Status(StrEnum):
    """What a twin's status may be."""

    OK = "ok"
    STALE = "stale"
    DRIFTING = "drifting"
    QUARANTINED = "quarantined"


twins_app = typer.Typer(no_args_is_help=True, help="Show and change twins.")

TypeName = Annotated[str, typer.Argument(metavar="TYPE", help="Qualified type name.")]
TwinId = Annotated[str, typer.Argument(metavar="ID", help="Twin id.")]
Values = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Values as JSON, or plain text.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="A tag; may be repeated.")]


@twins_app.command("list")
def list_twins(
    type_name: Annotated[str | None, typer.Argument(metavar="TYPE", help="Only of this type.")] = None,
    *,
    limit: Limit = 100,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List twins with their live state."""
    api = connect(url, data_dir, config)
    items = api.items("twins", limit=limit, query={"type": type_name})
    if as_json:
        show_json({"items": items, "next": None})
        return
    units = {name: units_of(api, name) for name in {item["type"] for item in items}}
    rows = [
        [item["type"], item["id"], item["status"], item["revision"], _shown(item["outputs"], units[item["type"]])]
        for item in items
    ]
    show_table(("type", "id", "status", "revision", "outputs"), rows, empty="no twins yet")


@twins_app.command("show")
def show_twin(
    type_name: TypeName,
    twin: TwinId,
    *,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show one twin's live state."""
    api = connect(url, data_dir, config)
    found = api.get("twins", type_name, twin)
    if as_json:
        show_json(found)
        return
    units = units_of(api, type_name)
    show_tree(found | {part: with_units(found[part], units) for part in ("inputs", "outputs", "parameters")})


@twins_app.command("create")
def create_twin(
    type_name: TypeName,
    twin: TwinId,
    values: Values = None,
    *,
    tags: Tags = None,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Create a twin, with parameters that differ from their defaults."""
    change = _change(values, tags)
    api = connect(url, data_dir, config)
    if _exists(api, type_name, twin):
        fail(f"twin {twin} of type {type_name} is there already: `twinstream twins set` changes it")
    _put(api, type_name, twin, change, as_json=as_json, done="created")


@twins_app.command("set")
def set_twin(
    type_name: TypeName,
    twin: TwinId,
    values: Values = None,
    *,
    tags: Tags = None,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Change parameters and tags of a twin; those that are not named keep their values."""
    if not values and not tags:
        message = "give at least one KEY=VALUE or --tag"
        raise typer.BadParameter(message)
    change = _change(values, tags)
    api = connect(url, data_dir, config)
    if not _exists(api, type_name, twin):
        fail(f"no twin {twin} of type {type_name}: `twinstream twins create` creates it")
    _put(api, type_name, twin, change, as_json=as_json, done="changed")


def request(
    type_name: TypeName,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[ID] NAME [KEY=VALUE]...",
            help="A twin's id (left out with --status), a declared request, and its arguments as JSON or plain text.",
        ),
    ],
    *,
    status: Annotated[
        Status | None, typer.Option("--status", help="Ask every twin of the type that has this status.")
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="S", min=0, help="Wait for the outcome.", callback=finite)
    ] = _OUTCOME_TIMEOUT_S,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Ask something of a twin, or of all that have a status, and show what came of it."""
    from infra.cli.outcome import REJECTED, send_request

    if len(words) < (1 if status else 2) or any("=" in word for word in words[: 1 if status else 2]):
        message = "give ID and NAME, then any KEY=VALUE; with --status no ID"
        raise typer.BadParameter(message)
    if status:
        _request_all(connect(url, data_dir, config), type_name, words, status.value, wait, as_json=as_json)
        return
    twin, name, *values = words
    answer = send_request(connect(url, data_dir, config), type_name, twin, name, parse_values(values), wait)
    rejected = answer["outcome"] == REJECTED
    if as_json:
        show_json(answer)
    elif rejected:
        typer.echo(f"rejected: {plain(answer['reason'])}", err=True)
    else:
        typer.echo("accepted" if answer["outcome"] else f"sent as {answer['id']}; no outcome yet")
    if rejected:
        raise typer.Exit(FAILED)


def _request_all(api: "Api", type_name: str, words: list[str], status: str, wait_s: float, *, as_json: bool) -> None:
    """Ask the same of every twin of a status."""
    from infra.cli.outcome import REJECTED, send_requests

    name, *values = words
    body = parse_values(values)
    found = api.items("twins", limit=None, query={"type": type_name, "status": status})
    # An API of an earlier version gives all of them.
    twins = [item["id"] for item in found if item["status"] == status]

    def told(number: int) -> None:
        if not as_json and number % _TOLD_EACH == 0:
            typer.echo(f"twinstream: {number} of {len(twins)} sent", err=True)

    answers = send_requests(api, type_name, twins, name, body, wait_s, told) if twins else []
    items = [{"twin": twin, **answer} for twin, answer in zip(twins, answers, strict=True)]
    rejected = [item for item in items if item["outcome"] == REJECTED]
    silent = sum(item["outcome"] is None for item in items)
    if as_json:
        show_json({"items": items})
    else:
        for item in rejected:
            typer.echo(f"{item['twin']}: rejected: {plain(item['reason'])}", err=True)
        accepted = len(items) - len(rejected) - silent
        rest = f", {len(rejected)} rejected" if rejected else ""
        rest += f", {silent} without outcome yet" if silent else ""
        typer.echo(f"{len(items)} twins {status}: {accepted} accepted{rest}" if items else f"no twin is {status}")
    if rejected:
        raise typer.Exit(FAILED)


def _change(values: list[str] | None, tags: list[str] | None) -> dict[str, Any]:
    return {"parameters": parse_values(values or []), "tags": pairs(tags or [])}


def _exists(api: "Api", type_name: str, twin: str) -> bool:
    return api.get("twins", type_name, twin, absent_ok=True) is not None


def _put(
    api: "Api",
    type_name: str,
    twin: str,
    change: dict[str, Any],
    *,
    as_json: bool,
    done: str,
) -> None:
    answer = api.send("PUT", "twins", type_name, twin, body=change)
    if as_json:
        show_json(answer)
    elif "offset" in answer and "revision" not in answer:
        typer.echo(f"{twin}: written, not applied yet; records that are published now come after it")
    else:
        typer.echo(f"{twin}: {done}")


def _shown(outputs: dict[str, Any], units: dict[str, str]) -> str:
    return " ".join(f"{name}={plain(value)}" for name, value in with_units(outputs, units).items())


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(twins_app, name="twins")
    app.command()(request)
