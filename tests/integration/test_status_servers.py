"""What `status` says of real embedded servers: one that stands still is not up, though its port accepts."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from servers.availability import unavailable

from infra.embedded import EmbeddedDocuments, EmbeddedKafka, EmbeddedMqtt, EmbeddedServer
from infra.embedded.mqtt import find_mosquitto
from infra.registry import Presence, Registry
from infra.status import RoleStatus, status_of


def _mosquitto(folder: Path) -> EmbeddedServer:
    if find_mosquitto() is None:
        unavailable("Mosquitto", "the system package mosquitto is not installed")
    return EmbeddedMqtt(folder, 0, prefer="mosquitto")


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda folder: EmbeddedKafka(folder, 0), id="kafka", marks=pytest.mark.kafka),
        pytest.param(lambda folder: EmbeddedMqtt(folder, 0, prefer="iotcore"), id="iotcore"),
        pytest.param(_mosquitto, id="mosquitto", marks=pytest.mark.system),
        pytest.param(EmbeddedDocuments, id="documents"),
    ],
)
async def test_a_server_that_stands_still_is_not_up(make: Callable[[Path], EmbeddedServer], tmp_path: Path) -> None:
    registry = Registry(tmp_path)

    def seen() -> RoleStatus:
        (role,) = status_of(registry).roles
        return role

    async with make(tmp_path) as server:
        Presence(registry, server.name, pid=server.pid).change(ready=True, url=server.url)
        assert (seen().up, seen().ready) == (True, True)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            assert (seen().up, seen().ready, seen().pid) == (False, False, server.pid)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert seen().up
