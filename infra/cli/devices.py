"""Commands about accounts of devices at a broker: `device`."""

import json
import os
import stat
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.options import AsJson
from infra.cli.output import fail, show_json

_HELP = "Accounts of devices at a message broker: each lets a device reach its own twin, and nothing else."
_NEW_FILE_MODE = 0o600

device_app = typer.Typer(no_args_is_help=True, help=_HELP)


class Broker(StrEnum):
    """Brokers that have accounts."""

    MOSQUITTO = "mosquitto"
    RABBITMQ = "rabbitmq"


_NEXT = {
    Broker.MOSQUITTO: "append the line to Mosquitto's password_file and send Mosquitto the signal HUP",
    Broker.RABBITMQ: "import it: rabbitmqctl import_definitions FILE",
}


@device_app.command("add")
def add_device(
    type_name: Annotated[str, typer.Argument(metavar="TYPE", help="Qualified type name.")],
    twin: Annotated[str, typer.Argument(metavar="ID", help="Twin id.")],
    *,
    broker: Annotated[Broker, typer.Option("--broker", help="Which broker it is for.")],
    into: Annotated[
        Path | None,
        typer.Option(
            "--into",
            metavar="FILE",
            help="Write into this file: Mosquitto's password file, or a file of definitions for RabbitMQ."
            " What it says of other devices stays.",
        ),
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input instead of making one up.")
    ] = False,
    vhost: Annotated[str, typer.Option("--vhost", metavar="NAME", help="RabbitMQ: virtual host.")] = "/",
    as_json: AsJson = False,
) -> None:
    """Make an account for the device of a twin, or give the one it has a new password.

    The password is shown this once: what the broker gets is its hash.
    """
    from infra.device_access import Device, mosquitto_line, new_password, rabbitmq_definitions  # noqa: PLC0415

    device = Device.of(type_name, twin)
    password = _password_of_stdin() if password_stdin else new_password()
    line = mosquitto_line(device, password) if broker is Broker.MOSQUITTO else ""
    definitions = {} if line else rabbitmq_definitions(device, password, vhost)
    if into is not None:
        _write(into, line or definitions)
    if as_json:
        account = {"broker": broker, "username": device.username, "password": password}
        show_json(account | ({"line": line} if line else {"definitions": definitions, "queue": device.queue}))
        return
    if into is None:
        # What goes into a file stands on standard output alone.
        typer.echo(line or json.dumps(definitions, indent=2))
    next_step = "send Mosquitto the signal HUP" if line and into else _NEXT[broker].replace("FILE", str(into or "FILE"))
    told = [f"user name  {device.username}", "password   as given" if password_stdin else f"password   {password}"]
    if not line:
        told.append(f"queue      {device.queue}")
    for text in (*told, f"next: {next_step}"):
        typer.echo(text, err=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(device_app, name="device")


def _password_of_stdin() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        fail("no password on standard input")
    return password


def _write(path: Path, new: "str | dict[str, list[dict[str, object]]]") -> None:
    """Put a line or definitions into a file; a broker that reads it meanwhile sees the old one or the new one."""
    from infra.device_access import with_definitions, with_mosquitto_line  # noqa: PLC0415

    try:
        known = path.read_text("utf-8") if path.exists() else ""
        if isinstance(new, str):
            text = with_mosquitto_line(known, new)
        else:
            text = json.dumps(with_definitions(json.loads(known) if known.strip() else {}, new), indent=2) + "\n"
        part = path.with_name(f".{path.name}.{os.getpid()}")
        status = path.stat() if path.exists() else None
        part.touch(_NEW_FILE_MODE, exist_ok=False)
        part.write_text(text, "utf-8")
        if status is not None:
            part.chmod(stat.S_IMODE(status.st_mode))
            if os.geteuid() == 0:
                os.chown(part, status.st_uid, status.st_gid)
        part.replace(path)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        fail(f"{path} can't be written: {getattr(error, 'strerror', None) or 'it holds no definitions of RabbitMQ'}")
