"""The commands `import` and `export`: recordings into twins, and history into files."""

# Commands import what they need when they run, so that `--help` and client commands answer at once.
# ruff: noqa: PLC0415

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.connecting import connect
from infra.cli.options import AsJson, Config, DataDir, Url
from infra.cli.output import fail, show_json
from schemas.clock import NS_PER_S, SystemClock

if TYPE_CHECKING:
    from connectors.series import Series
    from infra.cli.client import Api
    from infra.recordings.sending import Progress
    from infra.settings import Settings
    from schemas.definition import Definition

TypeName = Annotated[str, typer.Argument(metavar="TYPE", help="Qualified type name.")]
TwinId = Annotated[str, typer.Argument(metavar="ID", help="Id of the twin.")]


def import_recording(
    type_name: TypeName,
    twin: TwinId,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or Parquet.", exists=True, dir_okay=False)],
    *,
    speed: Annotated[
        float | None, typer.Option("--speed", metavar="X", min=1e-6, help="Its seconds in one second; else at once.")
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send a recording to a twin as its telemetry: columns `time` and the inputs of its type.

    Times are RFC 3339, integer nanoseconds, or time stamps of Parquet. Records are worked on as if a device had sent
    them: those that are older than what the twin knows count as late, and commands go out.
    """
    from infra.cli.log import settings_with_log
    from infra.recordings.reading import read_recording
    from schemas.errors import InvalidNameError
    from schemas.names import check_twin_id

    try:
        check_twin_id(twin)
    except InvalidNameError as error:
        fail(str(error))
    settings = settings_with_log(url, data_dir, config)
    definition = asyncio.run(_definition(settings, type_name))
    total = sum(1 for _ in read_recording(file, definition))
    began_ns = SystemClock().now_ns()
    progress = asyncio.run(_send(settings, definition, type_name, twin, file, speed, total))
    if as_json:
        told = {"sent": progress.sent, "left_out": progress.left_out, "faults": progress.faults}
        show_json(told | {"began_ns": began_ns})
        return
    typer.echo(f"{progress.sent:,} records are in the input of {type_name}, for {twin}")
    if progress.sent:
        # Workers judge them later, and maybe where no API is.
        typer.echo(f"what can't be used of them: {letters_since(type_name, began_ns)}")
    if progress.left_out:
        typer.echo(f"{progress.left_out:,} rows are no records: {progress.faults[0]}", err=True)


def letters_since(type_name: str, time_ns: int) -> str:
    """The command that lists what of a type could not be used from a time on."""
    since = datetime.fromtimestamp(time_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"twinstream deadletters list --type {type_name} --since {since}"


async def _definition(settings: "Settings", type_name: str) -> "Definition":
    from twins.catalogue import Catalogue

    async with Catalogue(settings.kafka.options()) as catalogue:
        await catalogue.ready()
        found = catalogue.get(type_name)
        known = ", ".join(sorted(catalogue.types())) or "none"
    if found is None:
        fail(f"no type {type_name} is deployed; there are: {known}")
    return found.definition


async def _send(
    settings: "Settings",
    definition: "Definition",
    type_name: str,
    twin: str,
    file: Path,
    speed: float | None,
    total: int,
) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from infra.recordings.reading import read_recording
    from infra.recordings.sending import send_recording
    from streams.log.writer import LogWriter

    console = Console(stderr=True)
    columns = (TextColumn(file.name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("sending", total=total)
        async with LogWriter(settings.kafka.options()) as writer:
            return await send_recording(
                read_recording(file, definition),
                writer,
                type_name=type_name,
                twin=twin,
                clock=SystemClock(),
                speed=speed,
                told=lambda progress: bar.update(task, completed=progress.sent + progress.left_out),
            )


def export(
    type_name: TypeName,
    twin: TwinId,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or Parquet, by its ending.", dir_okay=False)],
    *,
    fields: Annotated[list[str] | None, typer.Option("--field", metavar="F", help="Only this one; repeatable.")] = None,
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="RFC 3339 or nanoseconds.")] = None,
    stop: Annotated[str | None, typer.Option("--stop", metavar="TIME", help="Likewise, inclusive.")] = None,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Write the history of a twin into a file: column `time` in nanoseconds, and each field."""
    from infra.recordings.table import write_table
    from schemas.errors import SetupError

    api = connect(url, data_dir, config)
    if not fields:
        fields = api.get("types", type_name)["definition"]["outputs"]["timeseries"]["fields"]
    found = asyncio.run(_history(api, type_name, twin, fields or [], start, stop))
    try:
        rows = write_table(file, found)
    except SetupError as error:
        fail(str(error))
    if as_json:
        show_json({"file": str(file), "rows": rows, "fields": list(found)})
    else:
        typer.echo(f"{file}: {rows:,} rows of {', '.join(found) or 'no fields'}")


async def _history(
    api: "Api", type_name: str, twin: str, fields: list[str], start: str | None, stop: str | None
) -> "dict[str, Series]":
    from connectors.series import Series
    from infra.recordings.history import read_history

    async def read(field: str) -> Series:
        async def ask(from_ns: int | None, limit: int) -> Series:
            begin = start if from_ns is None else from_ns
            query = {"field": field, "start": begin, "stop": stop, "limit": limit}
            page = api.get("twins", type_name, twin, "series", query=query)
            return Series(page["time_ns"], page["value"])

        return (await read_history(ask)).points

    return {field: await read(field) for field in fields}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("import")(import_recording)
    app.command()(export)
