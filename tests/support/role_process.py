"""Roles as processes that tests start, freeze and kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.registry import Registry

ROOT = Path(__file__).parents[2]
CLI = ("-m", "infra")


class RoleProcess:
    """One role with a data directory of its own.

    Args:
        arguments: Of the command line, without `--data-dir`.
        role: As its run file names it.
        data_dir: Made if it is missing.
        environment: Added to ours.
        program: What Python runs; the command line unless a test puts itself around it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        role: str,
        data_dir: Path,
        environment: Mapping[str, str],
        program: Sequence[str] = CLI,
    ) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self.role, self._data_dir = role, data_dir
        self.log = data_dir / "role.out"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, *program, *arguments, "--data-dir", str(data_dir)],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ready(self) -> bool:
        """Whether it says that it does its work, or did; then it also answers SIGTERM by a clean stop."""
        found = Registry(self._data_dir).find(self.role)
        return found is not None and found.pid == self.pid and found.ready

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
