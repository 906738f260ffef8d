"""A child process: its environment, its lines on the console, and how it ended."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from infra.settings import ENV_DELIMITER, ENV_PREFIX, Settings
from infra.settings_file import CONFIG_VARIABLE
from infra.supervisor.lifeline import PARENT_VARIABLE

_LOG_ROTATE_BYTES = 5 * 1024 * 1024
_LINE_LIMIT_BYTES = 64 * 1024
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
"""Terminal sequences: libraries write some even to a pipe."""


STUCK = 75
"""Exit code of a process that its own watchdog ended, because it stood still."""


def child_environment(config: Path) -> dict[str, str]:
    """The environment of a child: its settings come from `config` alone, secrets included, never from variables."""
    sections = {name.upper() for name in Settings.model_fields}
    kept = {}
    for name, value in os.environ.items():
        section = name.upper().removeprefix(ENV_PREFIX).partition(ENV_DELIMITER)[0]
        if not (name.upper().startswith(ENV_PREFIX) and section in sections):
            kept[name] = value
    return kept | {CONFIG_VARIABLE: str(config), PARENT_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1"}


def role_argv(*arguments: str) -> tuple[str, ...]:
    """Command line of one of our own roles."""
    # -P: a folder of the user's that is called like one of ours must not come first.
    return (sys.executable, "-P", "-m", "infra", *arguments)


def how_ended(code: int) -> str:
    """An exit code for people."""
    if code == STUCK:
        return "it stood still while records waited, and was ended by its watchdog"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


class ProcessRunner:
    """One life of a child process.

    Its standard output are lines for people, which are passed on; its standard error, which is empty unless
    something is badly wrong, goes to a file.

    Args:
        argv: Program and arguments; never a secret.
        env: The whole environment.
        error_log: Where standard error goes; moved to `*.1` when it has grown.
        say: Receives each line of standard output.
        ended: Told its exit code.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        error_log: Path,
        say: Callable[[str], None],
        ended: Callable[[int], None] | None = None,
    ) -> None:
        self._argv = tuple(argv)
        self._env = dict(env)
        self._error_log = error_log
        self._say = say
        self._ended = ended
        self._process: asyncio.subprocess.Process | None = None
        self._relay: asyncio.Task[None] | None = None
        self.exit_code: int | None = None

    async def start(self) -> int:
        """Start it, in a session of its own: Ctrl-C in a terminal reaches the supervisor alone."""
        self._error_log.parent.mkdir(parents=True, exist_ok=True)
        if self._error_log.exists() and self._error_log.stat().st_size > _LOG_ROTATE_BYTES:
            self._error_log.replace(self._error_log.with_suffix(self._error_log.suffix + ".1"))
        errors = os.open(self._error_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                limit=_LINE_LIMIT_BYTES,
            )
        finally:
            os.close(errors)
        self._relay = asyncio.create_task(self._pass_on(self._process))
        return self._process.pid

    async def wait(self) -> str:
        """Wait until it has ended; says how."""
        if self._process is None:
            return "not started"
        self.exit_code = await self._process.wait()
        if self._ended is not None:
            self._ended(self.exit_code)
        if self._relay is not None:
            # A grandchild may hold the pipe open for a moment longer.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._relay, 1.0)
        return how_ended(self.exit_code)

    def stop(self) -> None:
        """Ask it to end."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it, and whatever it started in its session."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _pass_on(self, process: asyncio.subprocess.Process) -> None:
        output = process.stdout
        while output is not None:
            try:
                line = await output.readline()
            except ValueError:  # longer than the limit; what was read of it is dropped
                continue
            if not line:
                return
            text = _CONTROL.sub("", line.decode(errors="replace")).strip()
            if text:
                self._say(text)
