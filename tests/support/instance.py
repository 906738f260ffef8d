"""A running `twinstream up` or `demo`, started and watched as a user would."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

ROOT = Path(__file__).parents[2]
CLI = [sys.executable, "-m", "infra"]


class Instance:
    """One instance on free ports.

    Args:
        data_dir: Its data directory.
        command: `up` or `demo`.
        arguments: Further ones.
        environment: Added to ours.
    """

    def __init__(
        self, data_dir: Path, command: str = "up", *arguments: str, environment: dict[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir
        ports = ("--http-port", "0", "--mqtt-port", "0", "--kafka-port", "0")
        self._argv = [*CLI, command, "--data-dir", str(data_dir), *ports, "--json", *arguments]
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[str] | None = None
        self._pump: threading.Thread | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self.output: list[str] = []
        self.urls: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Start, and wait for `ready`."""
        self._process = subprocess.Popen(
            self._argv,
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._pump = threading.Thread(target=self._read, daemon=True)
        self._pump.start()
        self._await_ready(time.monotonic() + 90)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; a clean end unless a test failed already."""
        code = self.stop()
        if error is None:
            assert code == 0, self.transcript()

    @property
    def api(self) -> str:
        """Base of the HTTP API."""
        return self.urls["API"].rstrip("/")

    @property
    def pid(self) -> int:
        """Of its supervisor."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> int:
        """SIGTERM, and wait; return the exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            if self._pump is not None:
                self._pump.join(5)
            if self._process.stdout is not None:
                self._process.stdout.close()

    def get(self, path: str, **query: Any) -> Any:
        """JSON of a GET that must succeed."""
        answer = httpx.get(self.api + path, params=query, timeout=10)
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        return answer.json()

    def run(self, *arguments: str, expect: int = 0) -> str:
        """A client command against this instance; return what it printed."""
        done = subprocess.run(
            [*CLI, *arguments, "--data-dir", str(self.data_dir)],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def transcript(self) -> str:
        """Everything it printed, and the ends of its error logs."""
        logs = [
            f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}"
            for path in sorted((self.data_dir / "logs").glob("*.err"))
            if path.stat().st_size
        ]
        return "\n".join([*self.output, *logs])

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output.append(line.rstrip())
            self._lines.put(line)
        self._lines.put("")

    def _await_ready(self, deadline_s: float) -> None:
        while time.monotonic() < deadline_s:
            try:
                line = self._lines.get(timeout=1)
            except queue.Empty:
                continue
            if not line:
                break
            if line.startswith("{"):
                said = json.loads(line)
                if said["event"] == "url":
                    self.urls[said["name"]] = said["url"]
                if said["event"] == "ready":
                    return
        transcript = self.transcript()
        self.stop()
        raise AssertionError(f"not ready:\n{transcript}")


def eventually(check: Any, what: str, timeout_s: float = 30.0) -> Any:
    """Call `check` until it gives something true; return that."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.25)
