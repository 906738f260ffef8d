"""What holds for every embedded server: ready when it says so, its port its own, gone when its owner is."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from servers.availability import unavailable
from servers.processes import gone

from infra.embedded import EmbeddedDocuments, EmbeddedKafka, EmbeddedMqtt, EmbeddedServer
from infra.embedded.mqtt import find_mosquitto
from infra.embedded.ports import accepts, free_port
from schemas.errors import SetupError

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

_ROOT = Path(__file__).parents[2]
_KINDS = ("kafka", "mosquitto", "iotcore", "documents")
_WITHOUT_MOSQUITTO = ("kafka", "iotcore", "documents")


def _server(kind: str, data_dir: Path, port: int = 0) -> EmbeddedServer:
    match kind:
        case "kafka":
            return EmbeddedKafka(data_dir, port)
        case "mosquitto":
            if find_mosquitto() is None:
                unavailable("Mosquitto", "not installed")
            return EmbeddedMqtt(data_dir, port, prefer="mosquitto")
        case "iotcore":
            return EmbeddedMqtt(data_dir, port, prefer="iotcore")
        case _:
            return EmbeddedDocuments(data_dir, port)


@pytest.mark.parametrize("kind", _KINDS)
async def test_clean_stop_frees_the_port_and_leaves_no_process(kind: str, tmp_path: Path) -> None:
    async with _server(kind, tmp_path / "ein Ordner, für Größeres") as server:
        assert server.alive
        assert accepts(server.port)
        assert str(server.port) in server.url
        family = [server.pid, *(child.pid for child in psutil.Process(server.pid).children())]
    assert not server.alive
    assert not accepts(server.port)
    assert all(gone(pid, 2) for pid in family)


@pytest.mark.parametrize("kind", _KINDS)
async def test_listens_on_the_loopback_address_alone(kind: str, tmp_path: Path) -> None:
    async with _server(kind, tmp_path) as server:
        listening = [
            connection.laddr.ip.removeprefix("::ffff:")
            for connection in psutil.Process(server.pid).net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
    assert listening
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize("kind", _KINDS)
async def test_crash_is_noticed_and_the_server_starts_again_on_its_port(kind: str, tmp_path: Path) -> None:
    async with _server(kind, tmp_path) as server:
        os.kill(server.pid, signal.SIGKILL)
        assert await asyncio.wait_for(server.ended(), 5) == -signal.SIGKILL
        assert not server.alive
    async with _server(kind, tmp_path, server.port) as again:
        assert again.port == server.port
        assert again.alive


@pytest.mark.parametrize("kind", _KINDS)
async def test_taken_port_is_one_line_with_the_remedy(kind: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SetupError, match=rf"port {port} for .* is taken: .* choose another with ") as caught:
            async with _server(kind, tmp_path, port):
                pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["iotcore", "documents"])
async def test_any_free_port_is_the_one_of_the_last_start_where_that_is_free(kind: str, tmp_path: Path) -> None:
    async with _server(kind, tmp_path) as first:
        pass
    async with _server(kind, tmp_path) as second:
        assert second.port == first.port
    with socket.create_server(("127.0.0.1", first.port)):
        async with _server(kind, tmp_path) as third:
            assert third.port != first.port


async def test_port_taken_between_choice_and_use_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = iter((other.getsockname()[1], free_port()))
        monkeypatch.setattr("infra.embedded.server.free_port", lambda: next(ports))
        async with EmbeddedDocuments(tmp_path) as server:
            assert server.alive


@pytest.mark.parametrize("kind", _WITHOUT_MOSQUITTO)
def test_killed_owner_leaves_no_orphan(kind: str, tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from infra.embedded import EmbeddedDocuments, EmbeddedKafka, EmbeddedMqtt

        async def main():
            data_dir = Path(sys.argv[2])
            server = {
                "kafka": lambda: EmbeddedKafka(data_dir, 0),
                "iotcore": lambda: EmbeddedMqtt(data_dir, 0, prefer="iotcore"),
                "documents": lambda: EmbeddedDocuments(data_dir, 0),
            }[sys.argv[1]]()
            async with server:
                print(server.pid, flush=True)
                await asyncio.sleep(60)

        asyncio.run(main())
        """
    )
    command = [sys.executable, "-c", script, kind, str(tmp_path)]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        server = int(owner.stdout.readline())
        family = [server, *(child.pid for child in psutil.Process(server).children())]
        owner.kill()
    assert all(gone(pid, 15) for pid in family)
