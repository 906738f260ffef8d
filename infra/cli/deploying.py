"""Deploying from the command line: into Kafka, then until the API knows."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec

from infra.instance.deploying import deploy
from infra.registry import Registry
from infra.settings import Settings
from schemas.bundle import Deployment, read_folder
from schemas.errors import SetupError

_KAFKA_TIMEOUT_S = 30.0
_API_TIMEOUT_S = 10.0
_WORKER_TIMEOUT_S = 60.0
_LOOK_S = 0.1


async def deploy_folder(path: Path, settings: Settings, url: str | None) -> dict[str, Any]:
    """Deploy a folder that was checked.

    Args:
        path: The folder.
        settings: Where Kafka is.
        url: Of the API, when it is not that of the data directory's instance.

    Raises:
        SetupError: Kafka does not answer.
    """
    if url and settings.kafka.embedded:
        message = (
            "deploy writes to Kafka, which --url alone does not name: give --data-dir of the instance, -c,"
            " or TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS"
        )
        raise SetupError(message)
    try:
        async with asyncio.timeout(_KAFKA_TIMEOUT_S):
            deployment = await deploy(settings, read_folder(path))
    except TimeoutError:
        servers = settings.kafka.options().bootstrap_servers
        message = f"Kafka at {servers} does not answer: is the instance running in {settings.data_dir}?"
        raise SetupError(message) from None
    api = Registry(settings.data_dir).find("api")
    await _until_known(url or (api.url if api else ""), deployment.type, deployment.hash)
    await _until_stepped(Registry(settings.data_dir), deployment)
    found: dict[str, Any] = msgspec.to_builtins(deployment)
    return found


async def _until_stepped(registry: Registry, deployment: Deployment) -> None:
    """Wait until this instance's worker, if it has one, has compiled the type and joined."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _WORKER_TIMEOUT_S
    while registry.find("worker") is not None and loop.time() < deadline_s:
        stepping = registry.find(f"worker:{deployment.type}")
        # A worker that started before belongs to the version before.
        if stepping is not None and stepping.ready and stepping.started_ns >= deployment.time_ns:
            return
        await asyncio.sleep(_LOOK_S)
    if registry.find("worker") is not None:
        message = (
            f"{deployment.type} is deployed, but no worker steps it after {_WORKER_TIMEOUT_S:.0f} s:"
            " see twinstream status and the worker's log"
        )
        raise SetupError(message)


async def _until_known(url: str, type_name: str, content: str) -> None:
    """Wait a little until the API shows the type, so that the next command finds it."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _API_TIMEOUT_S
    async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
        while url and loop.time() < deadline_s:
            try:
                response = await client.get(f"{url.rstrip('/')}/api/types/{type_name}")
                if response.is_success and response.json()["hash"] == content:
                    return
            except httpx.HTTPError:
                return
            await asyncio.sleep(_LOOK_S)
