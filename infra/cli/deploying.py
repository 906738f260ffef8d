"""Deploying from the command line: into Kafka, then until the API knows and a worker steps."""

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import httpx
import msgspec
import typer
from aiokafka.errors import KafkaError

from infra.cli.client import Api, ApiError, headers_with, token_to_show
from infra.deployment.asking import COMPILE_TIMEOUT_S, NoAnswerError
from infra.deployment.deployer import deploy, rollback, undeploy
from infra.deployment.telling import Telling
from infra.registry import LOG_FOLDER, Registry, RunFile
from infra.settings import Settings
from infra.status import SILENT, RoleStatus, status_of
from schemas.bundle import read_folder
from schemas.deployment import Deployment
from schemas.errors import SetupError

_KAFKA_TIMEOUT_S = 30.0
_API_TIMEOUT_S = 10.0
_WORKER_TIMEOUT_S = 60.0
_LOOK_S = 0.1
_LOOKED_THROUGH = 20_000
"""Of more twins it is not counted how many are in quarantine: that would take seconds."""
_STOPPED = 130
"""Exit code of what Ctrl-C ended."""

T = TypeVar("T")
_Look: TypeAlias = Callable[[], Sequence[RunFile | RoleStatus]]
"""Gives the roles that run now."""


class Said(Telling):
    """Shows on standard error how a deployment goes on, one line for each thing, also where nobody watches."""

    def __init__(self, *, aloud: bool) -> None:
        super().__init__()
        self._aloud = aloud

    def stage(self, text: str) -> None:
        """Show it."""
        self._say(text)

    def note(self, text: str) -> None:
        """Show and keep it."""
        super().note(text)
        self._say(f"note: {text}")

    def _say(self, text: str) -> None:
        if self._aloud:
            typer.echo(f"twinstream: {text}", err=True)


def finish(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Run a deployment; who stops it is told how to see what became of it."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        typer.echo("twinstream: stopped: `twinstream types --history` shows whether it was switched", err=True)
        raise typer.Exit(_STOPPED) from None


async def deploy_folder(
    path: Path, settings: Settings, url: str | None, registry: Registry | None, said: Telling
) -> dict[str, Any]:
    """Deploy a folder that was checked.

    Args:
        path: The folder.
        settings: Where Kafka is.
        url: Of the API, when it is not that of the data directory's instance.
        registry: Of the instance's data directory; None when only its API is known.
        said: Hears how it goes on.

    Returns:
        The deployment, with `written` (false when it was in force already) and `notes`.

    Raises:
        DefinitionError: what the folder holds does not fit what is in force, or a worker can't compile it.
        SetupError: Kafka does not answer, or no worker compiles or steps the type in time.
    """
    work = deploy(settings, read_folder(path), who=_who(), telling=said)
    return await _everywhere(work, settings, url, registry, said)


async def roll_back(
    type_name: str, settings: Settings, url: str | None, registry: Registry | None, said: Telling
) -> dict[str, Any]:
    """Go back to the version before; arguments as for `deploy_folder`.

    Raises:
        SetupError: there is none, or as for `deploy_folder`.
    """
    work = rollback(settings, type_name, who=_who(), telling=said)
    return await _everywhere(work, settings, url, registry, said)


async def undeploy_type(settings: Settings, type_name: str, *, topics_too: bool) -> Deployment | None:
    """Take a type out of force; None when it is not in force.

    Raises:
        SetupError: Kafka does not answer.
    """
    return await _in_time(undeploy(settings, type_name, who=_who(), topics_too=topics_too), settings)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"


async def _everywhere(
    work: Awaitable[Deployment], settings: Settings, url: str | None, registry: Registry | None, said: Telling
) -> dict[str, Any]:
    """Put a version into force; wait until the API shows it and a worker steps the type."""
    api = registry.find("api") if registry else None
    url = (url or (api.url if api else "")).rstrip("/")
    token = token_to_show(registry.folder.parent if registry else None)
    look = _nearby(registry) if registry else _behind(url, token)
    if registry and not registry.find("worker"):
        said.stage(f"no worker runs here: one elsewhere has {COMPILE_TIMEOUT_S:.0f} s to compile it")
    try:
        deployment = await _in_time(work, settings, COMPILE_TIMEOUT_S)
    except NoAnswerError as error:
        message = f"{error}: {await asyncio.to_thread(_workers, look, registry)}"
        raise SetupError(message) from None
    await _until_known(url, token, deployment)
    await _until_stepped(look, deployment, registry)
    if count := await asyncio.to_thread(_quarantined, Api(url, token) if url else None, deployment.type):
        said.note(
            f"twins of {deployment.type} in quarantine: {count}; no version ends that,"
            f" `twinstream request {deployment.type} release --status quarantined` does"
        )
    found: dict[str, Any] = msgspec.to_builtins(deployment)
    return found | {"written": said.is_written, "notes": said.notes}


def _workers(look: _Look, registry: Registry | None) -> str:
    """What the workers of an instance say of themselves, asked whether they answer, and what to do."""
    roles = status_of(registry).roles if registry else look()
    found = sorted((role for role in roles if role.name.partition(":")[0] == "worker"), key=lambda role: role.name)
    if not found:
        return "no worker runs here; `twinstream worker` starts one, and `twinstream status` shows what runs"
    if silent := [f"{role.name} (pid {role.pid})" for role in found if role.detail == SILENT]:
        return (
            f"no answer from {', '.join(silent)}, though running: stopped, or without time of the processor; let them"
            " go on, or end them, and they are started again; then try again"
        )
    said = ", ".join(f"{role.name} ({role.detail or ('ready' if role.ready else 'not ready')})" for role in found)
    logs = f" in {registry.folder.with_name(LOG_FOLDER)}" if registry else ""
    return f"the workers here say {said}; see their logs{logs}, and try again"


async def _in_time(work: Awaitable[T], settings: Settings, compiling_s: float = 0.0) -> T:
    try:
        async with asyncio.timeout(_KAFKA_TIMEOUT_S + compiling_s):
            return await work
    except TimeoutError:
        message = f"Kafka at {settings.kafka.bootstrap_servers} does not answer any more: try again when it does"
        raise SetupError(message) from None
    except KafkaError as error:
        where = settings.kafka.bootstrap_servers
        message = f"Kafka at {where} failed: {error}; `twinstream types` shows what is in force now"
        raise SetupError(message) from error


def _nearby(registry: Registry) -> _Look:
    return lambda: [entry for entry in registry.read() if entry.alive()]


def _behind(url: str, token: str) -> _Look:
    """Roles as an API tells them; none when it doesn't."""

    def look() -> list[RoleStatus]:
        try:
            answer = httpx.get(f"{url}/api/status", headers=headers_with(token), timeout=10.0, trust_env=False)
            return msgspec.convert(answer.json()["items"], list[RoleStatus]) if answer.is_success else []
        except httpx.HTTPError:
            return []

    return look


async def _until_stepped(look: _Look, deployment: Deployment, registry: Registry | None) -> None:
    """Wait until this instance's worker, if it has one, has joined; a type that ran before runs on."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _WORKER_TIMEOUT_S
    while loop.time() < deadline_s:
        roles = {role.name: role for role in await asyncio.to_thread(look)}
        if "worker" not in roles:
            return
        stepping = roles.get(f"worker:{deployment.type}")
        if stepping is not None and stepping.ready:
            return
        await asyncio.sleep(_LOOK_S)
    message = (
        f"{deployment.type} is deployed, but no worker steps it after {_WORKER_TIMEOUT_S:.0f} s:"
        f" {await asyncio.to_thread(_workers, look, registry)}"
    )
    raise SetupError(message)


def _quarantined(api: Api | None, type_name: str) -> int:
    """How many twins of a type are in quarantine; 0 also where that takes long to find out or nobody tells."""
    try:
        if api is None or api.get("types", type_name)["twins"] > _LOOKED_THROUGH:
            return 0
        found = api.items("twins", limit=None, query={"type": type_name, "status": "quarantined"})
    except (ApiError, KeyError):
        return 0
    return sum(item["status"] == "quarantined" for item in found)


async def _until_known(url: str, token: str, deployment: Deployment) -> None:
    """Wait a little until the API shows the type, so that the next command finds it."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _API_TIMEOUT_S
    async with httpx.AsyncClient(trust_env=False, headers=headers_with(token), timeout=2.0) as client:
        while url and loop.time() < deadline_s:
            try:
                response = await client.get(f"{url}/api/types/{deployment.type}")
                if response.is_success and response.json()["hash"] == deployment.hash:
                    return
            except httpx.HTTPError:
                return
            await asyncio.sleep(_LOOK_S)
