"""Commands about records that could not be used: `deadletters`."""

import base64
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.connecting import connect
from infra.cli.options import AsJson, Config, DataDir, Limit, Url
from infra.cli.output import FAILED, as_text, fail, show_json, show_table, show_tree
from infra.cli.waiting import waiting
from schemas.reasons import Reason

if TYPE_CHECKING:
    from infra.cli.client import Api

_SHOWN_UNABLE = 20
_BATCH = 10_000
_HELP = """Records that could not be used: look at them, send them once more, or remove them.

What a mended definition would take now is sent again with `redrive`; `list` shows what became of it.
"""

deadletters_app = typer.Typer(no_args_is_help=True, help=_HELP)

OfType = Annotated[str | None, typer.Option("--type", metavar="T", help="Only of this type.")]
OfReason = Annotated[
    Reason | None, typer.Option("--reason", metavar="R", help=f"Only with this reason: {', '.join(Reason)}.")
]
OfIds = Annotated[
    list[str] | None, typer.Option("--id", metavar="ID", help="Only this one: an id, or its beginning; repeatable.")
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Only what arrived then or later: 2026-01-31T12:00:00Z, or nanoseconds since 1970.",
    ),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Only what arrived then or earlier, written likewise.")
]


@deadletters_app.command("list")
def list_deadletters(
    *,
    type_name: OfType = None,
    reason: OfReason = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first, with what became of each; also while Kafka is away."""
    api = connect(url, data_dir, config)
    query = {"type": type_name, "reason": reason, "since": since, "until": until}
    items = api.items("deadletters", limit=limit, query=query)
    if as_json:
        show_json({"items": items, "next": None})
        return
    columns = ("id", "reason", "type", "twin", "became", "source", "detail")
    rows = [
        [*(item[name] for name in columns[:4]), _became(item), *(item[name] for name in columns[5:])] for item in items
    ]
    show_table(columns, rows, empty="no dead letters")


@deadletters_app.command("show")
def show_deadletter(
    letter: Annotated[str, typer.Argument(metavar="ID", help="Id, or the beginning of one.")],
    *,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its payload, and what became of it."""
    items = connect(url, data_dir, config).items("deadletters", limit=None, query={"id": letter})
    found = next((item for item in items if item["id"].startswith(letter)), None)
    if found is None:
        fail(f"no dead letter {letter}: see `twinstream deadletters list`")
    if as_json:
        show_json(found)
        return
    raw = base64.b64decode(found.pop("raw_base64"))
    show_tree(found)
    typer.echo(f"payload:\n{as_text(raw)}")


@deadletters_app.command("redrive")
def redrive_deadletters(
    *,
    type_name: OfType = None,
    reason: OfReason = None,
    ids: OfIds = None,
    since: Since = None,
    until: Until = None,
    refused_again: Annotated[
        bool, typer.Option("--refused-again", help="Also those that were sent before, and refused again.")
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send dead letters once more to the inputs of their types, oldest first.

    Mend and deploy the definition first: each letter is sent once, whoever asks how often, also when a command ends
    in between. It is stepped like any other record, with the arrival that it had: the type's policy for late records
    holds, and a command out of old telemetry is out of date. `deadletters list` shows what became of it.

    Exit code 1: some can't be sent (their payload was cut, their type is not deployed …).
    """
    wanted = _wanted(type_name, reason, ids, since, until, verb="send")
    api = connect(url, data_dir, config)
    sent: list[Any] = []
    unable: list[Any] = []
    refused = 0
    with waiting("sending dead letters"):
        for answer in _batches(api, wanted | {"refused_again": refused_again}):
            sent += answer["items"]
            unable += answer["unable"]
            refused = answer["refused_again"]
    if as_json:
        show_json({"items": sent, "unable": unable, "sent": len(sent), "refused_again": refused})
    else:
        typer.echo(f"{len(sent)} sent" + (f", {len(unable)} can't be:" if unable else ""))
        rows = [[one["id"], one["type"], one["twin"], one["why"]] for one in unable[:_SHOWN_UNABLE]]
        if unable:
            show_table(("id", "type", "twin", "why"), rows, empty="")
        if len(unable) > _SHOWN_UNABLE:
            typer.echo(f"… and {len(unable) - _SHOWN_UNABLE} more: --json shows all")
        if refused:
            typer.echo(f"{refused} were sent before and refused again: --refused-again sends those, too")
        if sent:
            typer.echo("what became of them: twinstream deadletters list")
    if unable:
        raise typer.Exit(FAILED)


@deadletters_app.command("purge")
def purge_deadletters(
    *,
    type_name: OfType = None,
    reason: OfReason = None,
    ids: OfIds = None,
    since: Since = None,
    before: Annotated[
        str | None,
        typer.Option(
            "--before", "--until", metavar="TIME", help="Only what arrived then or earlier, written likewise."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Remove dead letters for good: none of them is shown or sent again.

    Metrics still count them, and their bytes stay in the topic for as long as Kafka keeps those (`kafka.retention_ms`).
    """
    wanted = _wanted(type_name, reason, ids, since, before, verb="remove")
    api = connect(url, data_dir, config)
    if not yes:
        if as_json or not sys.stdin.isatty():
            fail("removing dead letters can't be undone: confirm it with --yes")
        query = {name: wanted.get(name) for name in ("type", "reason", "since", "until")}
        number = len(ids) if ids else api.get("deadletters", "number", query=query)["number"]
        typer.confirm(f"Remove {number} dead letters for good?", abort=True)
    purged: list[str] = []
    with waiting("removing dead letters"):
        while found := api.send("POST", "deadletters", "purge", body=wanted)["items"]:
            purged += found
    if as_json:
        show_json({"items": purged, "purged": len(purged)})
    else:
        typer.echo(f"{len(purged)} removed")


def _batches(api: "Api", wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
    after: str | None = ""
    while after is not None:
        answer = api.send("POST", "deadletters", "redrive", body=wanted | {"after": after, "limit": _BATCH})
        yield answer
        after = answer["next"]


def _wanted(
    type_name: str | None,
    reason: Reason | None,
    ids: list[str] | None,
    since: str | None,
    until: str | None,
    *,
    verb: str,
) -> dict[str, Any]:
    """The letters that are meant, as the API is asked for them; ends the command when that would be all there are."""
    given = {"type": type_name, "reason": reason, "ids": ids, "since": since, "until": until}
    wanted = {name: value for name, value in given.items() if value}
    if not wanted:
        message = f"say which to {verb}: --type, --reason, --id or a time; `twinstream deadletters list` shows all"
        raise typer.BadParameter(message)
    return wanted


def _became(item: dict[str, Any]) -> str:
    redriven = item.get("redriven")
    return redriven["outcome"] if redriven else "-"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(deadletters_app, name="deadletters")
