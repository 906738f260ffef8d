"""Commands about twins and records: `twins`, `request`, `tail` and `deadletters`."""

# Commands import what they need when they run, so that `--help` and client commands answer at once.
# ruff: noqa: PLC0415

import asyncio
import base64
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.options import AsJson, Config, DataDir, Url, read_settings_near
from infra.cli.output import FAILED, fail, plain, show_json, show_json_line, show_table, show_tree

if TYPE_CHECKING:
    from infra.cli.client import Api
    from infra.settings import Settings
    from streams.log.record import LogRecord

_OUTCOME_TIMEOUT_S = 5.0

twins_app = typer.Typer(no_args_is_help=True, help="Show and change twins.")
deadletters_app = typer.Typer(no_args_is_help=True, help="Show records that could not be used.")

TypeName = Annotated[str, typer.Argument(metavar="TYPE", help="Qualified type name.")]
TwinId = Annotated[str, typer.Argument(metavar="ID", help="Twin id.")]
Values = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Values as JSON, or plain text.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="A tag; may be repeated.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Most items.")]


@twins_app.command("list")
def list_twins(
    type_name: Annotated[str | None, typer.Argument(metavar="[TYPE]", help="Only of this type.")] = None,
    *,
    limit: Limit = 100,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List twins with their live state."""
    api = _api(url, data_dir, config)
    items = api.items("twins", limit=limit, query={"type": type_name})
    if as_json:
        show_json({"items": items, "next": None})
        return
    rows = [[item["type"], item["id"], item["status"], item["revision"], _shown(item["outputs"])] for item in items]
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
    found = _api(url, data_dir, config).get("twins", type_name, twin)
    (show_json if as_json else show_tree)(found)


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
    api = _api(url, data_dir, config)
    if _exists(api, type_name, twin):
        fail(f"twin {twin} of type {type_name} is there already: `twinstream twins set` changes it")
    _put(api, type_name, twin, values, tags, as_json=as_json, done="created")


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
    api = _api(url, data_dir, config)
    if not _exists(api, type_name, twin):
        fail(f"no twin {twin} of type {type_name}: `twinstream twins create` creates it")
    _put(api, type_name, twin, values, tags, as_json=as_json, done="changed")


def request(
    type_name: TypeName,
    twin: TwinId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A declared request.")],
    values: Values = None,
    *,
    wait: Annotated[
        float, typer.Option("--wait", metavar="S", min=0, help="Wait for the outcome.")
    ] = _OUTCOME_TIMEOUT_S,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Ask something of a twin, and show what came of it."""
    from infra.cli.outcome import send_request

    body = parse_values(values or [])
    answer = send_request(_api(url, data_dir, config), type_name, twin, name, body, wait)
    rejected = answer["outcome"] == "request_rejected"
    if as_json:
        show_json(answer)
    elif rejected:
        typer.echo(f"rejected: {plain(answer['reason'])}", err=True)
    else:
        typer.echo("accepted" if answer["outcome"] else f"sent as {answer['id']}; no outcome yet")
    if rejected:
        raise typer.Exit(FAILED)


def tail(
    what: Annotated[str, typer.Argument(metavar="TOPIC|TYPE", help="A Kafka topic, or a type's state and outputs.")],
    *,
    start: Annotated[bool, typer.Option("--from-start", help="Of a topic: begin with its oldest record.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="End after so many.")] = None,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show records of a topic, or state, commands and events of a type, as they come."""
    with suppress(KeyboardInterrupt):
        if "." in what:
            settings = read_settings_near(config, data_dir)
            asyncio.run(_tail_topic(settings, what, start=start, limit=limit, as_json=as_json))
        else:
            _tail_type(_api(url, data_dir, config), what, limit=limit, as_json=as_json)


@deadletters_app.command("list")
def list_deadletters(
    *,
    type_name: Annotated[str | None, typer.Option("--type", metavar="T", help="Only of this type.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="R", help="Only with this reason.")] = None,
    limit: Limit = 100,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""
    api = _api(url, data_dir, config)
    items = api.items("deadletters", limit=limit, query={"type": type_name, "reason": reason})
    if as_json:
        show_json({"items": items, "next": None})
        return
    rows = [[item["id"], item["reason"], item["type"], item["twin"], item["source"], item["detail"]] for item in items]
    show_table(("id", "reason", "type", "twin", "source", "detail"), rows, empty="no dead letters")


@deadletters_app.command("show")
def show_deadletter(
    letter: Annotated[str, typer.Argument(metavar="ID", help="Id, or the beginning of one.")],
    *,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its payload."""
    items = _api(url, data_dir, config).items("deadletters", limit=None)
    found = next((item for item in items if item["id"].startswith(letter)), None)
    if found is None:
        fail(f"no dead letter {letter} among the newest {len(items)}")
    if as_json:
        show_json(found)
        return
    raw = base64.b64decode(found.pop("raw_base64"))
    show_tree(found)
    typer.echo(f"payload:\n{_text(raw)}")


def parse_values(pairs: list[str]) -> dict[str, Any]:
    """`KEY=VALUE` words: the value is JSON if it is any, else text.

    Raises:
        typer.BadParameter: a word without `=`.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            message = f"{pair!r} is no KEY=VALUE"
            raise typer.BadParameter(message)
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


def _api(url: str | None, data_dir: Any, config: Any) -> "Api":  # noqa: ANN401 - paths or None
    from infra.cli.client import Api, api_url

    return Api(api_url(url, data_dir, config))


def _exists(api: "Api", type_name: str, twin: str) -> bool:
    return api.get("twins", type_name, twin, absent_ok=True) is not None


def _put(
    api: "Api",
    type_name: str,
    twin: str,
    values: list[str] | None,
    tags: list[str] | None,
    *,
    as_json: bool,
    done: str,
) -> None:
    texts = {key: text for key, _, text in (tag.partition("=") for tag in tags or [])}
    answer = api.send("PUT", "twins", type_name, twin, body={"parameters": parse_values(values or []), "tags": texts})
    if as_json:
        show_json(answer)
    elif "offset" in answer and "revision" not in answer:
        typer.echo(f"{twin}: written, not applied yet; records that are published now come after it")
    else:
        typer.echo(f"{twin}: {done}")


def _shown(outputs: dict[str, Any]) -> str:
    return " ".join(f"{name}={plain(value)}" for name, value in outputs.items())


def _tail_type(api: "Api", type_name: str, *, limit: int | None, as_json: bool) -> None:
    with api.events({"type": type_name}) as events:
        for count, (name, data) in enumerate(events, start=1):
            if as_json:
                show_json_line({"event": name, "data": json.loads(data)})
            else:
                typer.echo(f"{name:<8} {plain(data)}")
            if count == limit:
                return


async def _tail_topic(settings: "Settings", topic: str, *, start: bool, limit: int | None, as_json: bool) -> None:
    from streams.log.admin import LogAdmin
    from streams.log.follow import Follower

    options = settings.kafka.options()
    async with LogAdmin(options) as admin:
        known = await admin.topics()
    if topic not in known:
        fail(f"no topic {topic}; there are: {', '.join(sorted(name for name in known if not name.startswith('__')))}")
    left = limit
    async with Follower(options, topics=(topic,), start="earliest" if start else "latest") as follower:
        while left is None or left > 0:
            for record in (await follower.read(timeout_s=0.5))[:left]:
                _show_record(record, as_json=as_json)
                left = None if left is None else left - 1


def _show_record(record: "LogRecord", *, as_json: bool) -> None:
    key = None if record.key is None else _text(record.key)
    if not as_json:
        value = "(deleted)" if record.value is None else _text(record.value)
        typer.echo(f"{record.partition}/{record.offset} {key or '-'} {value}")
        return
    shown: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": key,
        "headers": {name: _text(value) for name, value in record.headers},
    }
    show_json_line(shown | _value(record.value))


def _value(raw: bytes | None) -> dict[str, Any]:
    if raw is None:
        return {"value": None}
    with suppress(ValueError):
        return {"value": json.loads(raw)}
    with suppress(UnicodeDecodeError):
        return {"value": raw.decode()}
    return {"value_base64": base64.b64encode(raw).decode()}


def _text(raw: bytes) -> str:
    """Bytes for a terminal: text as it is, without control characters, else hexadecimal."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return f"0x{raw[:256].hex()}{'…' if len(raw) > 256 else ''}"  # noqa: PLR2004 - a terminal's worth
    return "\n".join(plain(line) for line in text.splitlines())


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(twins_app, name="twins")
    app.command()(request)
    app.command()(tail)
    app.add_typer(deadletters_app, name="deadletters")
