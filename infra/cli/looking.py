"""The command `status`."""

# Commands import what they need when they run, so that `--help` and client commands answer at once.
# ruff: noqa: PLC0415

import typer

from infra.cli.options import AsJson, Config, DataDir, Url, read_settings
from infra.cli.output import FAILED, fail, show_json, show_table
from infra.registry import Registry


def status(*, config: Config = None, data_dir: DataDir = None, url: Url = None, as_json: AsJson = False) -> None:
    """Show what every role is doing; answers also while a broker or a role is away."""
    if url:
        _remote(url, as_json=as_json)
        return
    import msgspec

    from infra.status import status_of

    settings = read_settings(config, data_dir)
    found = status_of(Registry(settings.data_dir))
    if not found.running:
        fail(f"nothing runs in {settings.data_dir}: start with `twinstream up`, or name another --data-dir")
    if as_json:
        shown = msgspec.to_builtins(found)
        show_json({"items": shown.pop("roles"), "next": None} | shown)
        return
    rows = [
        [
            role.name,
            role.pid,
            "up" if role.up else "SILENT" if role.pid else "DOWN",
            role.ready,
            role.lag,
            role.restarts,
            role.detail or "-",
        ]
        for role in found.roles
    ]
    show_table(("role", "pid", "state", "ready", "lag", "restarts", "detail"), rows, empty="no roles")
    typer.echo(f"API {found.url or 'is not up'} · data in {found.data_dir}")


def _remote(url: str, *, as_json: bool) -> None:
    """What an instance elsewhere says about itself."""
    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/')}/readyz", timeout=10.0, trust_env=False)
        body = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        fail(f"no answer from {url} ({error or type(error).__name__})")
    missing = body.get("missing") or []
    if as_json:
        show_json({"url": url, "ready": answer.is_success, "missing": missing})
    else:
        typer.echo("ready" if answer.is_success else "not ready")
        for part in missing:
            typer.echo(f"  {part['name']}: {part['detail']}")
    if not answer.is_success:
        raise typer.Exit(FAILED)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)
