"""Commands that run something until it is told to stop: `demo`, `up` and the single roles."""

# Commands import what they need when they run, so that `--help` and client commands answer at once.
# ruff: noqa: PLC0415

import asyncio
import runpy
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from connectors.broker_settings import BrokerSettings
from infra.cli.options import (
    AsJson,
    Config,
    DataDir,
    HttpPort,
    KafkaPort,
    MqttPort,
    finite,
    read_settings,
    read_settings_near,
)
from infra.settings import Settings
from schemas.names import parse_type

Store = Literal["timeseries", "metadata"]
BROKERS = [name for name, field in Settings.model_fields.items() if isinstance(field.default, BrokerSettings)]
Broker = Annotated[str, typer.Argument(metavar="|".join(BROKERS), help="Which broker.")]


def _speed(value: float) -> float:
    finite(value)
    if value <= 0:
        message = "must be above 0"
        raise typer.BadParameter(message)
    return value


def _example(name: str) -> str:
    from infra.instance.plan import examples

    there = examples()
    if there and name not in there:  # without any this is no clone of the repository, which starting says
        message = f"there is no example {name}: there are {', '.join(there)}"
        raise typer.BadParameter(message)
    return name


def demo(
    *,
    example: Annotated[
        str, typer.Option("--example", metavar="NAME", help="Which example of the repository.", callback=_example)
    ] = "incubator",
    twins: Annotated[int, typer.Option("--twins", metavar="N", min=1, help="Simulated devices.")] = 3,
    speed: Annotated[
        float, typer.Option("--speed", metavar="X", help="Simulated seconds per second.", callback=_speed)
    ] = 1.0,
    no_plant: Annotated[bool, typer.Option("--no-plant", help="No simulated devices, for one's own.")] = False,
    duration: Annotated[
        float | None,
        typer.Option("--duration", metavar="S", min=0, help="Stop S seconds after ready.", callback=finite),
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
    http_port: HttpPort = None,
    mqtt_port: MqttPort = None,
    kafka_port: KafkaPort = None,
    as_json: AsJson = False,
) -> None:
    """Run everything with the simulated devices of an example and their twins."""
    from infra.instance.console import Console
    from infra.instance.instance import Demo, run_instance
    from infra.masking import Masker, secrets_of

    settings = read_settings(config, data_dir, http_port=http_port, mqtt_port=mqtt_port, kafka_port=kafka_port)
    wanted = Demo(example, twins, speed, not no_plant, duration)
    console = Console(as_json=as_json, masker=Masker(secrets_of(settings)))
    raise typer.Exit(asyncio.run(run_instance(settings, console, wanted)))


def up(
    *,
    config: Config = None,
    data_dir: DataDir = None,
    http_port: HttpPort = None,
    mqtt_port: MqttPort = None,
    kafka_port: KafkaPort = None,
    as_json: AsJson = False,
) -> None:
    """Run everything: the servers that are not configured, and every role."""
    from infra.instance.console import Console
    from infra.instance.instance import run_instance
    from infra.masking import Masker, secrets_of

    settings = read_settings(config, data_dir, http_port=http_port, mqtt_port=mqtt_port, kafka_port=kafka_port)
    console = Console(as_json=as_json, masker=Masker(secrets_of(settings)))
    raise typer.Exit(asyncio.run(run_instance(settings, console)))


def worker(
    *,
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="T", help="Only this type; may be repeated.")
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Step the twins: one child process per deployed type."""
    from infra.roles.role import run_role
    from infra.roles.worker import NAME, work

    only = tuple(str(parse_type(name)) for name in types or ())
    settings = read_settings_near(config, data_dir)
    raise typer.Exit(run_role(NAME, settings, partial(work, only=only), as_json=as_json))


def bridge(
    broker: Broker,
    *,
    config: Config = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Move telemetry and requests from a broker into Kafka, commands and events back."""
    if broker not in BROKERS:
        raise typer.BadParameter(f"there are {', '.join(BROKERS)}", param_hint="BROKER")
    from infra.roles import bridge as roles
    from infra.roles.role import run_role

    settings = read_settings_near(config, data_dir)
    body = roles.body(broker, settings)
    raise typer.Exit(run_role(f"bridge:{broker}", settings, body, as_json=as_json))


def sink(
    store: Annotated[Store, typer.Argument(help="Which store.")],
    *,
    config: Config = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Move time series or metadata from Kafka into their store."""
    from infra.roles import sink as roles
    from infra.roles.role import run_role

    settings = read_settings_near(config, data_dir)
    body = roles.timeseries(settings) if store == "timeseries" else roles.metadata(settings)
    raise typer.Exit(run_role(f"sink:{store}", settings, body, as_json=as_json))


def api(
    *, config: Config = None, data_dir: DataDir = None, http_port: HttpPort = None, as_json: AsJson = False
) -> None:
    """Serve the HTTP API."""
    from infra.roles.api import serve
    from infra.roles.role import run_role

    settings = read_settings_near(config, data_dir)
    if http_port is not None:
        http = settings.http.model_copy(update={"port": http_port})
        settings = settings.model_copy(update={"http": http})
    raise typer.Exit(run_role("api", settings, serve, as_json=as_json))


def type_worker(
    *,
    type_name: Annotated[str, typer.Option("--type")],
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Step one type; the worker starts it."""
    from infra.roles.type_process import run_type
    from infra.supervisor.lifeline import leave

    code = run_type(type_name, read_settings(config, data_dir))
    sys.stdout.flush()
    sys.stderr.flush()
    leave(code)


def script(
    name: Annotated[str, typer.Argument()],
    path: Annotated[Path, typer.Argument()],
    arguments: Annotated[list[str] | None, typer.Argument()] = None,
    config: Config = None,
) -> None:
    """Run a script of the repository as a supervised child."""
    from infra.registry import Presence, Registry
    from infra.roles.role import RoleLogs

    settings = read_settings(config, None)
    presence = Presence(Registry(settings.data_dir), name)
    sys.argv = [str(path), *(arguments or [])]
    try:
        with RoleLogs(name, settings):
            presence.change(ready=True)
            runpy.run_path(str(path), run_name="__main__")
    finally:
        presence.withdraw()


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (demo, up, worker, bridge, sink, api):
        app.command()(command)
    app.command("type-worker", hidden=True)(type_worker)
    app.command("script", hidden=True, context_settings={"ignore_unknown_options": True})(script)
