"""What a contestant is told, and what it reports: one JSON file in, lines of JSON out."""

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil

_PROGRESS_S = 0.5


class Job(msgspec.Struct, frozen=True):
    """The work of one run.

    Attributes:
        kind: `statistics` or `incubator`.
        bootstrap_servers: Of Kafka.
        group: Name of the consumer group, of this run alone.
        topic: Input topic.
        outputs: Topic for what the job reports.
        starts: Offset of the first record of the work in each of its partitions.
        ends: Next offset after the last.
        warm_up: So many of the records come before the watch starts.
        data_dir: The contestant's own folder, new in each run.
        report: File to write lines to.
    """

    kind: str
    bootstrap_servers: str
    group: str
    topic: str
    outputs: str
    starts: list[int]
    ends: list[int]
    warm_up: int
    data_dir: str
    report: str

    @property
    def records(self) -> int:
        """How many records there are."""
        return sum(self.ends) - sum(self.starts)

    @classmethod
    def from_argv(cls) -> "Job":
        """Read the job file that the first argument names."""
        return msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=cls)


class Progress(msgspec.Struct, tag="progress"):
    """So many records are done."""

    records: int


class Finished(msgspec.Struct, tag="finished"):
    """What the run took, from the first record to the last commit.

    Attributes:
        records: Records that were worked on.
        seconds: Wall time.
        cpu_seconds: User and system time of the process and its children in that span.
        detail: Counts that show what was done.
    """

    records: int
    seconds: float
    cpu_seconds: float
    detail: dict[str, int] = {}


class Stopwatch:
    """Times a run inside the contestant and writes its report to a file; starting twice does nothing."""

    def __init__(self, report: str) -> None:
        self._report = Path(report)
        self._started: tuple[float, float] | None = None
        self._reported_s = float("-inf")
        self.finished = False

    def start(self) -> None:
        """Begin, at the first record."""
        if self._started is None:
            self._started = time.perf_counter(), cpu_seconds()

    def progress(self, records: int) -> None:
        """Say how far it is, twice a second at most."""
        now_s = time.perf_counter()
        if now_s - self._reported_s > _PROGRESS_S:
            self._reported_s = now_s
            self._write(Progress(records))

    def finish(self, records: int, **detail: int) -> None:
        """End, after the last commit.

        Raises:
            RuntimeError: it was never started.
        """
        if self._started is None:
            message = "finished before the first record"
            raise RuntimeError(message)
        if self.finished:
            return
        self.finished = True
        wall_s, cpu_s = self._started
        self._write(Finished(records, time.perf_counter() - wall_s, cpu_seconds() - cpu_s, detail))

    def _write(self, line: Progress | Finished) -> None:
        with self._report.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")


def read_report(path: Path) -> Iterator[Progress | Finished]:
    """Lines that a contestant has written so far."""
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield msgspec.json.decode(line, type=Progress | Finished)


def cpu_seconds() -> float:
    """User and system time of this process, its threads and its children."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        total += times.user + times.system
    return total
