"""This engine: the worker of the type incubator as `up` runs it, with default settings."""

from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry

from infra.bench.job import Job, Stopwatch
from infra.metrics import RoleMetrics
from infra.registry import Presence
from infra.roles import type_worker
from infra.roles.type_process import run_type
from infra.roles.worker_observer import WorkerObserver
from infra.settings_file import load
from infra.supervisor.step_mark import StepMark
from schemas.topics import type_of_topic


def main() -> int:
    """Step the whole input, report when the last transaction was committed, and go on until told to stop."""
    job = Job.from_argv()
    watch = Stopwatch(job.report)

    class TimedObserver(WorkerObserver):
        """The worker's own observer, with an eye on the first block and the last commit."""

        def __init__(
            self, registry: CollectorRegistry, type_name: str, presence: Presence, role: RoleMetrics, mark: StepMark
        ) -> None:
            super().__init__(registry, type_name, presence, role, mark)
            self._committed = list(job.starts)
            self._totals: dict[str, int] = {}

        def stepping(self, partition: int, offset: int, end: int) -> None:
            """Start at the first block."""
            watch.start()
            super().stepping(partition, offset, end)

        def counted(self, counts: Mapping[tuple[str, str], int]) -> None:
            """Keep totals for the report."""
            for (what, _), times in counts.items():
                self._totals[what] = self._totals.get(what, 0) + times
            super().counted(counts)

        def flushed(self, partition: int, rows: int, outputs: int, seconds: float) -> None:
            """Keep totals for the report."""
            for name, amount in (("transactions", 1), ("rows", rows), ("outputs", outputs)):
                self._totals[name] = self._totals.get(name, 0) + amount
            super().flushed(partition, rows, outputs, seconds)

        def position(self, partition: int, next_offset: int, lag: int) -> None:
            """End when every partition is committed up to its end."""
            super().position(partition, next_offset, lag)
            self._committed[partition] = next_offset
            done = sum(self._committed) - sum(job.starts)
            watch.progress(done)
            if self._committed == job.ends:
                watch.finish(done, **self._totals)

    # The worker makes its observer itself; this is the one place where it can be another.
    vars(type_worker)["WorkerObserver"] = TimedObserver
    settings = load(
        None,
        {
            "data_dir": Path(job.data_dir),
            "kafka": {"bootstrap_servers": job.bootstrap_servers, "partitions": len(job.ends)},
        },
    )
    return run_type(type_of_topic(job.topic), settings)


if __name__ == "__main__":
    raise SystemExit(main())
