"""What the API is, told to programs that make programs: `openapi`."""

# The command imports what it needs when it runs, so that `--help` and client commands answer at once.
# ruff: noqa: PLC0415

import json

import typer

from infra.cli.options import AsJson, Config, read_settings


def openapi(*, config: Config = None, as_json: AsJson = False) -> None:  # noqa: ARG001 - it is JSON either way
    """Print the OpenAPI document of the API, by which typed clients are generated; nothing has to run."""
    from infra.http.app import openapi_document

    public = read_settings(config, None).http.public_origin
    typer.echo(json.dumps(openapi_document(public), ensure_ascii=False, indent=2))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(openapi)
