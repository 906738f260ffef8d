"""Run files: what each role tells others on this machine about itself, `run/{role}.json` in the data directory."""

import os
from pathlib import Path

import msgspec
import psutil
import structlog

from infra.embedded.cache import cache_dir
from infra.put_file import PRIVATE, put_file
from schemas.clock import Clock, SystemClock

log = structlog.get_logger(__name__)

RUN_FOLDER = "run"
LOG_FOLDER = "logs"
CONFIG_FILE = "config.yaml"
SUPERVISOR = "supervisor"
ALARMED = "alarmed"
_SAME_PROCESS_S = 2.0


def kernel_cache(data_dir: Path) -> Path:
    """Where compiled kernels of twin types are kept."""
    return (data_dir / "kernels").resolve()


def trial_cache(data_dir: Path) -> Path:
    """Where commands keep compiled kernels: a trial makes no data directory where there is none."""
    return kernel_cache(data_dir if data_dir.is_dir() else cache_dir())


def type_folder(data_dir: Path, content: str) -> Path:
    """Where the files of a twin type's version are laid out."""
    return (data_dir / "types" / content).resolve()


class ChildView(msgspec.Struct, frozen=True, kw_only=True):
    """A child as its parent sees it.

    Attributes:
        phase: One of `infra.supervisor.roster.Phase`.
        restarts: How often it was started again.
        detail: Why it is not running, `""` when it is.
    """

    name: str
    pid: int | None
    phase: str
    restarts: int
    detail: str = ""


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """One process that works for the instance.

    Attributes:
        name: Name of the role, such as `bridge:mqtt`.
        process_started_s: Start of the process as the system tells it; with `pid` it names one process for good.
        started_ns: UTC nanoseconds.
        ready: Whether it does its work.
        port: Of its `/metrics` and `/healthz`, None when it has none.
        url: Where clients reach it, without credentials; `""` when they don't.
        detail: What it waits for or why it is idle.
        children: Of a process that supervises others.
    """

    name: str
    pid: int
    process_started_s: float
    started_ns: int
    ready: bool = False
    port: int | None = None
    url: str = ""
    detail: str = ""
    children: tuple[ChildView, ...] = ()

    def alive(self) -> bool:
        """Whether exactly this process still runs; a pid that was taken over by another does not count."""
        return process_started_s(self.pid, self.process_started_s) is not None


def process_started_s(pid: int, expected_s: float | None = None) -> float | None:
    """Start of a running process, None when there is none or it is not the one that is expected."""
    try:
        process = psutil.Process(pid)
        started_s = process.create_time()
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.Error:
        return None
    if expected_s is not None and abs(started_s - expected_s) > _SAME_PROCESS_S:
        return None
    return started_s


class Registry:
    """The run files of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / RUN_FOLDER

    @property
    def config(self) -> Path:
        """The resolved settings of the running instance, readable by their owner only."""
        return self.folder / CONFIG_FILE

    def read(self) -> list[RunFile]:
        """Every run file, also those of processes that died."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=RunFile))
            except FileNotFoundError:
                continue  # its process ended in this moment
            except (OSError, msgspec.DecodeError) as error:
                log.warning("run file can't be read", path=str(path), error=str(error))
        return found

    def find(self, name: str) -> RunFile | None:
        """The run file of a role that is alive."""
        return next((entry for entry in self.read() if entry.name == name and entry.alive()), None)

    def unready(self) -> dict[str, str]:
        """Roles that the supervisors here keep running and that are not ready: name, and what is the matter."""
        living = {entry.name: entry for entry in self.read() if entry.alive()}
        missing = {}
        for child in [child for entry in living.values() for child in entry.children]:
            entry = living.get(child.name)
            if child.phase != ALARMED and not (entry and entry.ready):
                missing[child.name] = (entry.detail if entry else child.detail) or "starting"
        return missing

    def path(self, name: str, pid: int) -> Path:
        """Where a process keeps its run file: a second process of the same name takes one of its own."""
        plain = name.replace(":", "-")
        first = self.folder / f"{plain}.json"
        owner = next((entry for entry in self.read() if entry.name == name and entry.pid != pid), None)
        return self.folder / f"{plain}.{pid}.json" if owner and owner.alive() else first

    def write(self, path: Path, entry: RunFile) -> None:
        """Put the file in place at once, readable by its owner only."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        put_file(path, msgspec.json.encode(entry), mode=PRIVATE)

    def clear(self) -> None:
        """Remove what processes that died left behind."""
        for path in self.folder.glob("*.json"):
            try:
                dead = not msgspec.json.decode(path.read_bytes(), type=RunFile).alive()
            except (OSError, msgspec.DecodeError):
                dead = True
            if dead:
                path.unlink(missing_ok=True)
        for path in self.folder.glob("*.new"):
            path.unlink(missing_ok=True)
        for path in self.folder.glob("worker.*.yaml"):
            pid = path.name.split(".")[1]
            if not pid.isdigit() or process_started_s(int(pid)) is None:
                path.unlink(missing_ok=True)


class Presence:
    """A process's own run file: written at once, changed when something changes, gone at the end."""

    def __init__(self, registry: Registry, name: str, *, pid: int | None = None, clock: Clock | None = None) -> None:
        """Write the file.

        Args:
            registry: Of the data directory.
            name: Of the role.
            pid: Of the process that does the work, when it is not this one.
            clock: For `started_ns`.
        """
        self._registry = registry
        own = os.getpid() if pid is None else pid
        self._entry = RunFile(
            name=name,
            pid=own,
            process_started_s=process_started_s(own) or 0.0,
            started_ns=(clock or SystemClock()).now_ns(),
        )
        self._path = registry.path(name, own)
        registry.write(self._path, self._entry)

    @property
    def entry(self) -> RunFile:
        """What stands in the file."""
        return self._entry

    def change(
        self,
        *,
        ready: bool | None = None,
        port: int | None = None,
        url: str | None = None,
        detail: str | None = None,
        children: tuple[ChildView, ...] | None = None,
    ) -> None:
        """Change what is given."""
        given = {"ready": ready, "port": port, "url": url, "detail": detail, "children": children}
        changed = msgspec.structs.replace(
            self._entry, **{name: value for name, value in given.items() if value is not None}
        )
        if changed != self._entry:
            self._entry = changed
            self._registry.write(self._path, changed)

    def withdraw(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
