"""A whole instance, run as `twinstream up` runs it, and what its processes cost."""

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from infra.bench.peers import ROOT
from infra.embedded.process import ChildProcess
from schemas.clock import SystemClock
from schemas.errors import SetupError

_READY_TIMEOUT_S = 120.0
_COMMAND_TIMEOUT_S = 120.0
_LOOK_S = 0.1
_STOP_TIMEOUT_S = 30.0
_CLI = (sys.executable, "-P", "-m", "infra")


@dataclass
class Instance:
    """All roles with their embedded servers, on free ports; enter it to start it.

    Attributes:
        data_dir: For all of it.
        urls: Where its parts are, by the names that `up` tells.
    """

    data_dir: Path
    urls: dict[str, str] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        """Start it and wait until it is ready.

        Raises:
            SetupError: it does not get ready.
        """
        ports = ("--http-port", "0", "--mqtt-port", "0", "--kafka-port", "0")
        argv = (*_CLI, "up", "--data-dir", str(self.data_dir), *ports, "--json")
        log_path = self.data_dir.parent / "up.log"
        self._process = ChildProcess("up", argv, log_path=log_path, cwd=ROOT, stop_timeout_s=_STOP_TIMEOUT_S)
        await self._process.__aenter__()
        try:
            await self._ready(log_path)
        except BaseException:
            await self._process.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        await self._process.stop()

    async def run(self, *arguments: str) -> None:
        """Run a command against it.

        Raises:
            SetupError: it failed.
        """
        process = await asyncio.create_subprocess_exec(
            *(*_CLI, *arguments, "--data-dir", str(self.data_dir)),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), _COMMAND_TIMEOUT_S)
        if process.returncode:
            message = f"{' '.join(arguments)} failed: {said.decode(errors='replace')[-2000:]}"
            raise SetupError(message)

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time of each of its processes so far, by what they are."""
        found: dict[str, float] = {}
        parent = psutil.Process(self._process.pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.Error):  # it ended this moment
                times, name = process.cpu_times(), part_of(process.cmdline())
                found[name] = found.get(name, 0.0) + times.user + times.system
        return found

    async def _ready(self, log_path: Path) -> None:
        clock = SystemClock()
        deadline_s = clock.monotonic_s() + _READY_TIMEOUT_S
        while True:
            if self._heard(log_path):
                return
            if not self._process.alive or clock.monotonic_s() > deadline_s:
                message = f"the instance does not get ready:\n{self._process.log_tail()[-2000:]}"
                raise SetupError(message)
            await asyncio.sleep(_LOOK_S)

    def _heard(self, log_path: Path) -> bool:
        """Read what it has told so far; whether that it is ready is among it."""
        ready = False
        for line in log_path.read_text().splitlines():
            said = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
            if said.get("event") == "url":
                self.urls[said["name"]] = said["url"]
            ready = ready or said.get("event") == "ready"
        return ready


def part_of(command: list[str]) -> str:
    """What a process of an instance is, by its command line."""
    words = [Path(word).name for word in command]
    if "kafka.Kafka" in words:
        return "Kafka"
    if "mosquitto" in words[:1] or "mqtt_iotcore.py" in words:
        return "MQTT broker"
    if "documents_nx27017.py" in words:
        return "document server"
    if "infra" in words:
        role = words[words.index("infra") + 1 :][:2]
        return " ".join(word for word in role if not word.startswith("-")).replace("up", "supervisor") or "supervisor"
    return "others"
