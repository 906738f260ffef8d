"""The role `worker` with its children, as a process tree that tests watch and hurt."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from infra.registry import ChildView, Registry, RunFile

ROOT = Path(__file__).parents[2]


class WorkerRole:
    """One `worker --type T` of its own data directory."""

    def __init__(self, type_name: str, bootstrap_servers: str, data_dir: Path, **environment: str) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._name, self._registry = f"worker:{type_name}", Registry(data_dir)
        with (data_dir / "worker.out").open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "infra", "worker", "--type", type_name, "--data-dir", str(data_dir)],
                cwd=ROOT,
                env={**os.environ, "TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def child(self) -> RunFile | None:
        """What the type's own process says, None before it says anything."""
        return self._registry.find(self._name)

    def view(self) -> ChildView | None:
        """What the worker says about the type's process."""
        found = self._registry.find("worker")
        return next((view for view in found.children if view.name == self._name), None) if found else None

    def tree(self) -> list[psutil.Process]:
        """The process and all below it."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def end(self) -> None:
        """End it, cleanly if it can."""
        if self.process.poll() is None:
            tree = self.tree()
            self.process.terminate()
            _, alive = psutil.wait_procs(tree, timeout=10)
            for process in alive:
                process.kill()
        self.process.wait(10)
