"""Apache Kafka itself, embedded: one broker that is its own controller (KRaft), in a child process."""

import asyncio
import base64
import uuid
from pathlib import Path

import structlog
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from infra.embedded.jars import KAFKA_VERSION, class_path, ensure_jars, java
from infra.embedded.kafka_properties import NODE_ID, controller_properties, server_properties
from infra.embedded.kafka_registration import unregister, was_cut_off
from infra.embedded.ports import LOOPBACK, accepts, free_port
from infra.embedded.process import ChildProcess
from infra.embedded.server import EmbeddedServer
from infra.put_file import put_file
from schemas.errors import SetupError

_LOG_DIR = "log"
_FORMAT_TIMEOUT_S = 60.0
_CONTROLLER_TIMEOUT_S = 60.0
_PROBE_TIMEOUT_MS = 2000

_log = structlog.get_logger(__name__)


class EmbeddedKafka(EmbeddedServer):
    """One Kafka broker on the loopback address, with its log below `data_dir`.

    Args:
        data_dir: Data directory of the instance; the broker's own part is `kafka/`, its log file `logs/kafka.log`.
        port: Where clients connect; 0 = any free one.
        version: Kafka version, one of `infra.embedded.jars.locked_versions()`.
        heap_mb: Size of Java's heap.
        overrides: Broker settings on top of `infra.embedded.kafka_properties`.
    """

    name = "kafka"
    label = "Kafka"
    port_remedy = "--kafka-port"
    ready_timeout_s = 60.0

    def __init__(
        self,
        data_dir: Path,
        port: int = 9092,
        *,
        version: str = KAFKA_VERSION,
        heap_mb: int = 256,
        overrides: dict[str, str] | None = None,
    ) -> None:
        super().__init__(data_dir, port)
        self._version = version
        self._heap_mb = heap_mb
        self._overrides = dict(overrides or {})
        self._java_command: list[str] = []

    @property
    def bootstrap_servers(self) -> str:
        """`HOST:PORT` for Kafka clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """The same as `bootstrap_servers`: Kafka has no URLs."""
        return self.bootstrap_servers

    async def _prepare(self) -> None:
        program = java()
        jars = await asyncio.to_thread(ensure_jars, self._version)
        # Native parts of the compression libraries are unpacked here, and left behind by a broker that was killed.
        scratch = self._folder / "tmp"
        scratch.mkdir(exist_ok=True)
        for leftover in scratch.iterdir():
            leftover.unlink()
        self._java_command = [
            str(program),
            f"-Xms{self._heap_mb // 2}m",
            f"-Xmx{self._heap_mb}m",
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",
            "-XX:+ExitOnOutOfMemoryError",
            "--enable-native-access=ALL-UNNAMED",
            f"-Djava.io.tmpdir={scratch}",
            "-Djava.awt.headless=true",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            *("-cp", class_path(jars, self._version)),
        ]

    async def _command(self) -> list[str]:
        properties = self._folder / "server.properties"
        _write_properties(properties, self._settings())
        await self._format(properties)
        if was_cut_off(self._folder / _LOG_DIR):
            await self._end_registration()
        return [*self._java_command, "kafka.Kafka", str(properties)]

    def _settings(self) -> dict[str, str]:
        own = server_properties(self.port, controller_port=free_port(), log_dir=_LOG_DIR)
        return {**own, **self._overrides}

    async def _format(self, properties: Path) -> None:
        """Give the log directory its cluster id, once; an interrupted format is done again with the same id."""
        done = self._folder / "formatted"
        if done.exists():
            return
        id_file = self._folder / "cluster.id"
        if not id_file.exists():
            put_file(id_file, _new_cluster_id(), durable=True)
        tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", id_file.read_text("utf-8")]
        command = [*self._java_command, *tool, "-c", str(properties)]
        async with ChildProcess("Kafka's storage tool", command, log_path=self.log_path, cwd=self._folder) as formatter:
            try:
                code = await asyncio.wait_for(formatter.wait(), _FORMAT_TIMEOUT_S)
            except TimeoutError:
                code = -1
        if code:
            message = f"can't prepare {self._folder} for Kafka: see {self.log_path}"
            raise SetupError(message)
        put_file(done, "", durable=True)

    async def _end_registration(self) -> None:
        """Let a controller without a broker forget the broker that was killed: see `kafka_registration`."""
        _log.info("Kafka was not stopped cleanly, the registration it left behind is ended", folder=str(self._folder))
        port = free_port()
        properties = self._folder / "controller.properties"
        _write_properties(properties, controller_properties(port, log_dir=_LOG_DIR))
        command = [*self._java_command, "kafka.Kafka", str(properties)]
        name = "Kafka's controller"
        async with ChildProcess(name, command, log_path=self.log_path, cwd=self._folder) as controller:
            await controller.until_ready(lambda: unregister(NODE_ID, port), _CONTROLLER_TIMEOUT_S)

    async def _answers(self) -> bool:
        """Whether a metadata request is answered by a broker that knows itself."""
        if not accepts(self.port):
            return False
        client = AIOKafkaClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=_PROBE_TIMEOUT_MS)
        try:
            await client.bootstrap()
            return bool(client.cluster.brokers())
        except KafkaError:
            return False
        finally:
            await client.close()


def _new_cluster_id() -> str:
    """16 random bytes as 22 characters; Kafka's tool takes a leading dash for an option."""
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster_id.startswith("-"):
            return cluster_id


def _write_properties(path: Path, properties: dict[str, str]) -> None:
    path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()), "utf-8")
