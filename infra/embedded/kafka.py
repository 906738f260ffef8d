"""Apache Kafka itself, embedded: one broker that is its own controller (KRaft), in a child process."""

import asyncio
import base64
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

import structlog
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from infra.embedded.jars import KAFKA_VERSION, class_path, ensure_jars, java
from infra.embedded.kafka_properties import server_properties
from infra.embedded.ports import LOOPBACK, accepts, free_port, require_free
from infra.embedded.process import ChildProcess, ServerEndedError
from schemas.errors import SetupError

if TYPE_CHECKING:
    from types import TracebackType

_READY_TIMEOUT_S = 60.0
_FORMAT_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 8.0
_PROBE_TIMEOUT_MS = 2000
_PORT_ATTEMPTS = 3
_FORMATTED = "formatted"

_log = structlog.get_logger(__name__)


class EmbeddedKafka:
    """One Kafka broker on the loopback address, with its log below `data_dir`.

    Args:
        data_dir: Data directory of the instance; the broker's own part is `kafka/`, its log file `logs/kafka.log`.
        port: Where clients connect; 0 = any free one.
        version: Kafka version, one of `infra.embedded.jars.locked_versions()`.
        heap_mb: Size of Java's heap.
        overrides: Broker settings on top of `infra.embedded.kafka_properties`.
    """

    name = "kafka"

    def __init__(
        self,
        data_dir: Path,
        port: int = 9092,
        *,
        version: str = KAFKA_VERSION,
        heap_mb: int = 256,
        overrides: dict[str, str] | None = None,
    ) -> None:
        self.port = port
        self.log_path = data_dir.absolute() / "logs" / "kafka.log"
        self._folder = data_dir.absolute() / "kafka"
        self._version = version
        self._heap_mb = heap_mb
        self._overrides = dict(overrides or {})
        self._any_port = port == 0
        self._process: ChildProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`HOST:PORT` for Kafka clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """The same as `bootstrap_servers`; Kafka has no URLs."""
        return self.bootstrap_servers

    @property
    def pid(self) -> int:
        """Process id of the Java process."""
        return self._entered().pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.alive

    async def ended(self) -> int:
        """Wait until the process has ended and return its exit code."""
        return await self._entered().wait()

    async def __aenter__(self) -> Self:
        """Format the log directory the first time, start the broker, wait until it answers a metadata request.

        Raises:
            SetupError: Port taken, jars or Java not to be had, or the broker does not come up.
        """
        if not self._any_port:
            require_free(self.port, owner="Kafka", remedy="--kafka-port")
        jars = await asyncio.to_thread(ensure_jars, self._version)
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            if self._any_port:
                self.port = free_port()
            try:
                await self._start(jars)
            except ServerEndedError as error:
                if not (self._any_port and attempt < _PORT_ATTEMPTS and "Address already in use" in error.tail):
                    raise
                _log.info("port taken meanwhile", server=self.name, port=self.port)
            else:
                break
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        """Stop the broker cleanly; killed when that takes longer than 8 s."""
        await self._entered().stop()

    async def _start(self, jars: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = self._folder / "tmp"
        scratch.mkdir(exist_ok=True)
        properties = self._folder / "server.properties"
        settings = server_properties(self.port, controller_port=free_port(), log_dir=self._folder / "log")
        settings |= self._overrides
        properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), "utf-8")
        command = [
            str(java()),
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
        await self._format(command, properties)
        process = ChildProcess(
            "Kafka", [*command, "kafka.Kafka", str(properties)], log_path=self.log_path, stop_timeout_s=_STOP_TIMEOUT_S
        )
        await process.__aenter__()
        try:
            await process.until_ready(self._answers, _READY_TIMEOUT_S)
        except BaseException:
            await process.stop()
            raise
        self._process = process

    async def _format(self, command: list[str], properties: Path) -> None:
        """Give the log directory its cluster id, once; an interrupted format is done again with the same id."""
        done = self._folder / _FORMATTED
        if done.exists():
            return
        id_file = self._folder / "cluster.id"
        if not id_file.exists():
            _write_atomically(id_file, _new_cluster_id())
        tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", id_file.read_text("utf-8")]
        formatter = ChildProcess(
            "Kafka's storage tool", [*command, *tool, "-c", str(properties)], log_path=self.log_path
        )
        async with formatter:
            try:
                code = await asyncio.wait_for(formatter.wait(), _FORMAT_TIMEOUT_S)
            except TimeoutError:
                code = -1
        if code:
            message = f"can't prepare {self._folder} for Kafka: see {self.log_path}"
            raise SetupError(message)
        _write_atomically(done, "")

    async def _answers(self) -> bool:
        """Whether a metadata request is answered by a broker that knows itself."""
        if not accepts(self.port):
            return False
        client = AIOKafkaClient(
            bootstrap_servers=self.bootstrap_servers,
            request_timeout_ms=_PROBE_TIMEOUT_MS,
            metadata_max_age_ms=_PROBE_TIMEOUT_MS,
        )
        try:
            await client.bootstrap()
            return bool(client.cluster.brokers())
        except KafkaError:
            return False
        finally:
            await client.close()

    def _entered(self) -> ChildProcess:
        if self._process is None:
            message = "the embedded Kafka was not started"
            raise RuntimeError(message)
        return self._process


def _new_cluster_id() -> str:
    """16 random bytes as 22 characters; Kafka's tool takes a leading dash for an option."""
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster_id.startswith("-"):
            return cluster_id


def _write_atomically(path: Path, text: str) -> None:
    partial = path.with_suffix(path.suffix + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
