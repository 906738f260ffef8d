"""Commands about who may call the API: `token`, `audit`."""

import re
from typing import Annotated

import typer

from infra.access.grants import Scope
from infra.cli.connecting import connect
from infra.cli.options import AsJson, Config, DataDir, Limit, Url
from infra.cli.output import local_time, show_json, show_table, show_tree
from schemas.clock import NS_PER_S, SystemClock

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"([0-9]{1,6})([smhd])")

token_app = typer.Typer(no_args_is_help=True, help="API tokens: who may call the API, and for what.")


def _expiry(text: str | None) -> str | None:
    """A time, or a span such as `30d` from now on as a time."""
    match = _SPAN.fullmatch(text or "")
    if match is None:
        return text
    return str(SystemClock().now_ns() + int(match[1]) * _UNITS_S[match[2]] * NS_PER_S)


@token_app.command("create")
def create_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is, for the audit trail.")],
    *,
    scopes: Annotated[
        list[Scope], typer.Option("--scope", metavar="S", help=f"What it permits: {', '.join(Scope)}; repeatable.")
    ],
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="T", help="Only twins of this type; repeatable.")
    ] = None,
    twins: Annotated[
        list[str] | None, typer.Option("--twin", metavar="TYPE/ID", help="Only this twin; repeatable.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="WHEN", help="When it ends: 30d, 12h, 5m, or 2036-01-31T12:00:00Z [default: never]."
        ),
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a token, and show it this once: what is kept of it is a hash."""
    body = {"name": name, "scopes": [str(scope) for scope in scopes], "types": types or [], "twins": twins or []}
    made = connect(url, data_dir, config).send("POST", "tokens", body=body | {"expires": _expiry(expires)})
    if as_json:
        show_json(made)
        return
    typer.echo(made["token"])
    told = {"id": made["id"], "expires": local_time(made["expires_ns"]) if made["expires_ns"] else "never"}
    for key, value in told.items():
        typer.echo(f"{key}  {value}", err=True)
    typer.echo("shown this once; send it as `Authorization: Bearer …`, or put it into TWINSTREAM_TOKEN", err=True)


@token_app.command("list")
def list_tokens(*, config: Config = None, data_dir: DataDir = None, url: Url = None, as_json: AsJson = False) -> None:
    """List tokens, oldest first, also those that are revoked or expired; never the tokens themselves."""
    items = connect(url, data_dir, config).get("tokens")["items"]
    if as_json:
        show_json({"items": items, "next": None})
        return
    rows = [
        [
            item["id"],
            item["name"],
            ",".join(item["scopes"]),
            ",".join([*item["types"], *item["twins"]]) or "everything",
            local_time(item["expires_ns"]) if item["expires_ns"] else "never",
            "revoked" if item["revoked_ns"] else "good" if item["good"] else "expired",
        ]
        for item in items
    ]
    show_table(("id", "name", "scopes", "limited to", "expires", "state"), rows, empty="no tokens")


@token_app.command("revoke")
def revoke_token(
    token: Annotated[str, typer.Argument(metavar="ID", help="Id of the token, as `token list` shows it.")],
    *,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a token: when this returns it is good for nothing, and what it opened is closed."""
    revoked = connect(url, data_dir, config).send("DELETE", "tokens", token)
    if as_json:
        show_json(revoked)
    else:
        show_tree({"id": revoked["id"], "name": revoked["name"], "revoked": local_time(revoked["revoked_ns"])})


def audit(
    *,
    who: Annotated[str | None, typer.Option("--who", metavar="NAME", help="Only of this caller.")] = None,
    type_name: Annotated[str | None, typer.Option("--type", metavar="T", help="Only about this type.")] = None,
    twin: Annotated[str | None, typer.Option("--twin", metavar="ID", help="Only about twins with this id.")] = None,
    limit: Limit = 100,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, newest first, with what came of it."""
    query = {"who": who, "type": type_name, "twin": twin}
    items = connect(url, data_dir, config).items("audit", limit=limit, query=query)
    if as_json:
        show_json({"items": items, "next": None})
        return
    rows = [
        [local_time(item["time_ns"]), item["who"] or "-", item["result"], item["action"], item["path"], item["content"]]
        for item in items
    ]
    show_table(("when", "who", "result", "action", "path", "content"), rows, empty="nothing was changed")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(token_app, name="token")
    app.command()(audit)
