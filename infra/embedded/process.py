"""A server as a child process: log file, readiness, clean stop, and no orphan."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import structlog

from schemas.clock import Clock, SystemClock
from schemas.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

_LAUNCH = Path(__file__).with_name("launch.py")
_POLL_S = 0.05
_KILL_TIMEOUT_S = 5.0
_LOG_ROTATE_BYTES = 10 * 1024 * 1024
_TAIL_BYTES = 16 * 1024

_log = structlog.get_logger(__name__)


class ServerEndedError(SetupError):
    """A server ended or stayed silent before it was ready.

    Attributes:
        tail: The last lines of its log.
    """

    def __init__(self, message: str, tail: str) -> None:
        super().__init__(message)
        self.tail = tail


class ChildProcess:
    """One server process that this process owns.

    It is its own session, so that Ctrl-C in a terminal reaches the owner alone, and it ends when the owner ends,
    however that happens. Entering starts it; leaving sends SIGTERM and, `stop_timeout_s` later, SIGKILL.

    Args:
        name: For logs and messages.
        argv: Program and arguments.
        log_path: Where standard output and error go; moved to `*.1` when it has grown past 10 MB.
        env: Variables on top of this process's own.
        cwd: Working directory; the current one by default.
        stop_timeout_s: How long a clean stop may take.
        clock: Measures the time-outs.
    """

    def __init__(
        self,
        name: str,
        argv: "Sequence[str]",
        *,
        log_path: Path,
        env: "Mapping[str, str] | None" = None,
        cwd: Path | None = None,
        stop_timeout_s: float = 8.0,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._argv = tuple(argv)
        self._env = dict(env or {})
        self._cwd = cwd
        self._stop_timeout_s = stop_timeout_s
        self._clock = clock or SystemClock()
        self._process: asyncio.subprocess.Process | None = None
        self._owner_pipe = -1
        self._stopping = False

    @property
    def pid(self) -> int:
        """Process id of the server itself.

        Raises:
            RuntimeError: It was never started.
        """
        return self._started().pid

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def __aenter__(self) -> Self:
        """Start it; it need not be ready yet."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG_ROTATE_BYTES:
            self.log_path.replace(self.log_path.with_suffix(self.log_path.suffix + ".1"))
        read_end, self._owner_pipe = os.pipe()
        try:
            with self.log_path.open("ab") as log_file:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", str(_LAUNCH)),
                    *self._argv,
                    stdin=read_end,
                    stdout=log_file,
                    stderr=log_file,
                    env={**os.environ, **self._env},
                    cwd=self._cwd,
                    start_new_session=True,
                )
        finally:
            os.close(read_end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        """Stop it."""
        await self.stop()

    async def wait(self) -> int:
        """Return the exit code once the process has ended; negative: the signal that ended it."""
        return await self._started().wait()

    async def until_ready(self, probe: "Callable[[], Awaitable[bool]]", timeout_s: float) -> None:
        """Ask `probe` until it says yes.

        Raises:
            ServerEndedError: The process ended first, or `timeout_s` went by.
        """
        deadline_s = self._clock.monotonic_s() + timeout_s
        while True:
            if not self.alive:
                message = f"{self.name} ended with code {await self.wait()} while starting: see {self.log_path}"
                raise ServerEndedError(message, self.log_tail())
            if await probe():
                return
            if self._clock.monotonic_s() > deadline_s:
                message = f"{self.name} is not ready after {timeout_s:.0f} s: see {self.log_path}"
                raise ServerEndedError(message, self.log_tail())
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """Send SIGTERM, wait, send SIGKILL if that was not enough; harmless when it has ended."""
        if self._process is None or self._stopping:
            return
        self._stopping = True
        try:
            await self._end(self._process)
        finally:
            os.close(self._owner_pipe)

    def log_tail(self) -> str:
        """The last lines that the server wrote."""
        with self.log_path.open("rb") as log_file:
            size = log_file.seek(0, os.SEEK_END)
            log_file.seek(max(0, size - _TAIL_BYTES))
            return log_file.read().decode("utf-8", "replace")

    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            message = f"{self.name} was not started"
            raise RuntimeError(message)
        return self._process

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            with suppress(ProcessLookupError):  # it ended this very moment
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), self._stop_timeout_s)
            except TimeoutError:
                _log.warning("server killed", server=self.name, pid=process.pid, after_s=self._stop_timeout_s)
        # The group holds the watcher and whatever the server forked; the server itself is long gone as a rule.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.wait_for(process.wait(), _KILL_TIMEOUT_S)
