"""Type workers as processes that tests start, freeze and kill."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from infra.registry import Registry

ROOT = Path(__file__).parents[2]


class WorkerProcess:
    """One `type-worker` of its own data directory."""

    def __init__(self, type_name: str, bootstrap_servers: str, data_dir: Path, **environment: str) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._type_name, self._data_dir = type_name, data_dir
        self.log = data_dir / "worker.out"
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "infra", "type-worker", "--type", type_name, "--data-dir", str(data_dir)],
                cwd=ROOT,
                env={
                    **os.environ,
                    "TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
                    "TWINSTREAM_ENGINE__SESSION_TIMEOUT_S": "6",
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def joined(self) -> bool:
        """Whether it has partitions, or had them; then it also answers SIGTERM by a clean stop."""
        found = Registry(self._data_dir).find(f"worker:{self._type_name}")
        return found is not None and found.ready

    def freeze(self) -> None:
        """SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> int:
        """SIGTERM, and wait; return the exit code."""
        self._process.terminate()
        return self._process.wait(30)

    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def end(self) -> None:
        """Whatever state it is in, end it."""
        if self.running():
            self.thaw()
            self.kill()

    def output(self) -> str:
        """What it printed."""
        return self.log.read_text(errors="replace")
