"""The command `tail`: records as they come."""

# Commands import what they need when they run, so that `--help` and client commands answer at once.
# ruff: noqa: PLC0415

import asyncio
import base64
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.connecting import connect
from infra.cli.options import AsJson, Config, DataDir, Url
from infra.cli.output import as_text, fail, plain, show_json_line
from schemas.headers import KIND
from schemas.topics import TypeTopics

if TYPE_CHECKING:
    from infra.cli.client import Api
    from infra.settings import Settings
    from streams.log.record import LogRecord


def tail(
    what: Annotated[str, typer.Argument(metavar="TOPIC|TYPE", help="A Kafka topic, or a twin type.")],
    *,
    state: Annotated[bool, typer.Option("--state", help="Of a type: also each twin whose state changed.")] = False,
    start: Annotated[bool, typer.Option("--from-start", help="Of a topic: begin with its oldest record.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="End after so many.")] = None,
    config: Config = None,
    data_dir: DataDir = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show records of a topic, or commands and events of a type, as they come."""
    is_topic = "." in what
    if start and not is_topic:
        message = f"a type is shown from now on; the oldest are in its topics, such as {TypeTopics(what).events}"
        raise typer.BadParameter(message, param_hint="--from-start")
    if state and is_topic:
        message = "a topic is shown as it is; --state belongs to a type"
        raise typer.BadParameter(message, param_hint="--state")
    with suppress(KeyboardInterrupt):
        if is_topic:
            from infra.cli.log import settings_with_log

            settings = settings_with_log(url, data_dir, config)
            asyncio.run(_tail_topic(settings, what, start=start, limit=limit, as_json=as_json))
        else:
            _tail_type(connect(url, data_dir, config), what, state=state, limit=limit, as_json=as_json)


def _tail_type(api: "Api", type_name: str, *, state: bool, limit: int | None, as_json: bool) -> None:
    with api.events({"type": type_name}) as events:
        wanted = ((name, data) for name, data in events if state or name != "state")
        for count, (name, data) in enumerate(wanted, start=1):
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
    key = None if record.key is None else as_text(record.key)
    if not as_json:
        value = "(deleted)" if record.value is None else as_text(record.value)
        kind = "".join(f" ({as_text(kind)})" for name, kind in record.headers if name == KIND)
        typer.echo(f"{record.partition}/{record.offset} {key or '-'}{kind} {value}")
        return
    shown: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": key,
        "headers": {name: as_text(value) for name, value in record.headers},
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


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(tail)
