"""What every embedded server is to whoever runs it, and the life that all of them share."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import structlog

from infra.embedded.ports import free_port, is_free, require_free
from infra.embedded.process import ChildProcess, ServerEndedError

if TYPE_CHECKING:
    from types import TracebackType

_PORT_ATTEMPTS = 3

_log = structlog.get_logger(__name__)


class EmbeddedServer(ABC):
    """A server in a child process, on the loopback address, with its data below a data directory.

    Entering returns when a client can use it and raises `schemas.errors.SetupError` with one line that says what to do
    when that can't be; leaving stops it cleanly, or by force when that takes longer than 8 s. A second start with the
    same data directory finds what the first one kept. One object is entered once.

    Attributes:
        name: What it is, in logs and file names.
        label: What it is, for people.
        port_remedy: How its port is chosen, for the message about one that is taken.
        ready_timeout_s: How long it may take until a client can use it.
        port: The port it listens on; never 0 once it was entered.
        log_path: Where it writes what it has to say.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    port_remedy: ClassVar[str]
    ready_timeout_s: ClassVar[float] = 30.0

    def __init__(self, data_dir: Path, port: int) -> None:
        self.port = port
        self.log_path = data_dir.absolute() / "logs" / f"{self.name}.log"
        self._folder = data_dir.absolute() / self.name
        self._any_port = port == 0
        self._process: ChildProcess | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it."""

    @property
    def pid(self) -> int:
        """Process id of the server itself."""
        return self._entered().pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.alive

    async def ended(self) -> int:
        """Wait until the process has ended and return its exit code; what follows is the owner's decision."""
        return await self._entered().wait()

    async def __aenter__(self) -> Self:
        """Start it and wait until a client can use it.

        Raises:
            SetupError: Its port is taken, something it needs can't be had, or it does not come up.
        """
        if not self._any_port:
            require_free(self.port, owner=self.label, remedy=self.port_remedy)
        self._folder.mkdir(parents=True, exist_ok=True)
        await self._prepare()
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            if self._any_port:
                self.port = self._last_port() if attempt == 1 else free_port()
            try:
                await self._start()
            except ServerEndedError as error:
                # Between choosing a free port and binding it somebody else may have taken it.
                if not (self._any_port and attempt < _PORT_ATTEMPTS and "address already in use" in error.tail.lower()):
                    raise
                _log.info("port taken meanwhile", server=self.name, port=self.port)
            else:
                break
        self._port_file.write_text(str(self.port), "utf-8")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        """Stop it."""
        await self._entered().stop()

    async def _prepare(self) -> None:  # noqa: B027 - most need nothing
        """Get what the server needs and does not depend on the port."""

    @abstractmethod
    async def _command(self) -> list[str]:
        """Write the configuration for `self.port` and return program and arguments."""

    def _environment(self) -> dict[str, str]:
        """Variables for the server on top of our own."""
        return {}

    @abstractmethod
    async def _answers(self) -> bool:
        """Whether a client can use it now."""

    @property
    def _port_file(self) -> Path:
        return self._folder / "port"

    def _last_port(self) -> int:
        """The port of the previous start if it is free, so that whoever still looks for it there finds it.

        Clients that were not stopped do, and so does Kafka itself: after a crash its transaction coordinator delivers
        what was decided to the address that the broker had.
        """
        if self._port_file.exists():
            last = int(self._port_file.read_text("utf-8"))
            if is_free(last):
                return last
        return free_port()

    async def _start(self) -> None:
        command = await self._command()
        process = ChildProcess(self.label, command, log_path=self.log_path, env=self._environment(), cwd=self._folder)
        await process.__aenter__()
        try:
            await process.until_ready(self._answers, self.ready_timeout_s)
        except BaseException:
            await process.stop()
            raise
        self._process = process

    def _entered(self) -> ChildProcess:
        if self._process is None:
            message = f"the embedded {self.label} was not started"
            raise RuntimeError(message)
        return self._process
