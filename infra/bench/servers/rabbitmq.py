"""RabbitMQ of the system package, as a node of its own."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import aio_pika
from aio_pika.exceptions import AMQPError

from infra.embedded.ports import LOOPBACK, accepts, free_port
from infra.embedded.process import ChildProcess
from infra.embedded.server import EmbeddedServer
from schemas.errors import SetupError

_LIBRARY = Path("/usr/lib/rabbitmq/lib")
_EPMD_TIMEOUT_S = 10.0
_CONTROL_TIMEOUT_S = 60.0
_LOOPBACK_ERLANG = "-kernel inet_dist_use_interface {127,0,0,1}"


def find_rabbitmq() -> Path | None:
    """Folder of RabbitMQ's programs, which need no particular account when they are called there."""
    found = sorted(_LIBRARY.glob("rabbitmq_server-*/sbin"))
    return found[-1] if found and shutil.which("epmd") else None


class RabbitMq(EmbeddedServer):
    """One RabbitMQ node with classic and quorum queues; everything that it has is below its data directory.

    Args:
        further: Lines of `rabbitmq.conf`.
    """

    name = "rabbitmq"
    label = "RabbitMQ"
    port_remedy = "another port"
    ready_timeout_s: ClassVar[float] = 90.0

    def __init__(self, data_dir: Path, port: int = 0, further: Sequence[str] = ()) -> None:
        super().__init__(data_dir, port)
        self._further = further
        self._epmd: ChildProcess | None = None
        self._epmd_port = free_port()
        self._distribution_port = free_port()

    @property
    def url(self) -> str:
        """Where AMQP 0.9.1 clients find it, with the account that may do everything."""
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}/"

    async def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` and return what it prints; `stop_app` and `start_app` make an outage."""
        process = await asyncio.create_subprocess_exec(
            *(str(self._program("rabbitmqctl")), "--quiet", "-n", self._node, *arguments),
            env={**os.environ, **self._environment()},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), _CONTROL_TIMEOUT_S)
        if process.returncode:
            message = f"rabbitmqctl {' '.join(arguments)}: {output.decode()}"
            raise RuntimeError(message)
        return output.decode()

    async def __aexit__(self, *error: object) -> None:
        """Stop the node and its name server."""
        await self._entered().stop()
        if self._epmd:
            await self._epmd.stop()

    async def _prepare(self) -> None:
        self._program("rabbitmq-server")
        for folder in ("mnesia", "log"):
            (self._folder / folder).mkdir(exist_ok=True)
        epmd = ["epmd", "-port", str(self._epmd_port), "-address", LOOPBACK]
        self._epmd = ChildProcess("epmd", epmd, log_path=self.log_path.with_name("epmd.log"))
        await self._epmd.__aenter__()
        await self._epmd.until_ready(self._names_are_served, _EPMD_TIMEOUT_S)

    async def _names_are_served(self) -> bool:
        return accepts(self._epmd_port)

    async def _command(self) -> list[str]:
        _write(
            self._folder / "rabbitmq.conf",
            (
                f"listeners.tcp.1 = {LOOPBACK}:{self.port}",
                "vm_memory_high_watermark.absolute = 1GB",
                "disk_free_limit.absolute = 100MB",
                *self._lines(),
            ),
        )
        _write(self._folder / "rabbitmq-env.conf", ())
        _write(self._folder / "enabled_plugins", ("[].",))
        return [str(self._program("rabbitmq-server"))]

    def _lines(self) -> Sequence[str]:
        """Further lines of `rabbitmq.conf`."""
        return self._further

    def _environment(self) -> dict[str, str]:
        return {
            # The cookie that the node and rabbitmqctl share lies in the home directory.
            "HOME": str(self._folder),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self._folder / "node.pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_LOOPBACK_ERLANG} +S 2:2 +sbwt none",
            "RABBITMQ_CTL_ERL_ARGS": _LOOPBACK_ERLANG,
            # The start script then becomes the node instead of waiting beside it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    async def _answers(self) -> bool:
        """Whether a client can open a connection."""
        if not accepts(self.port):
            return False
        try:
            connection = await aio_pika.connect(self.url, timeout=2)
        except (AMQPError, OSError, TimeoutError):
            return False
        await connection.close()
        return True

    @property
    def _node(self) -> str:
        return "twinstream@localhost"

    def _program(self, name: str) -> Path:
        folder = find_rabbitmq()
        if folder is None:
            message = "RabbitMQ is not installed: install the system package rabbitmq-server"
            raise SetupError(message)
        return folder / name


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
