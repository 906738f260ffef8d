"""`twinstream bench scale`: the same input on 1, 2 and 4 workers, and what that says about larger machines."""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocol

from infra.bench import machine
from infra.bench.child import cpu_seconds_of
from infra.bench.contest import clear
from infra.bench.draining import Drain
from infra.bench.job import Finished
from infra.bench.jobs import INCUBATOR_FOLDER
from infra.bench.peers import ROOT
from infra.bench.producing import Loader
from infra.bench.report import OURS, Result
from infra.bench.stages import Stages
from infra.bench.turns import EachTurn, Turn, never_enough, take_turns
from infra.bench.watched import watched
from infra.bench.workload import Workload
from infra.deployment.switching import put_into_force
from infra.embedded.kafka import EmbeddedKafka
from infra.embedded.process import ChildProcess
from infra.roles.type_worker import consumer_group
from infra.supervisor.process import role_argv
from schemas.bundle import read_folder
from schemas.clock import SystemClock
from schemas.errors import SetupError
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.retry import retrying

MODEL_COLUMNS = ("partitions", "workers", "their cores", "records/s", "broker cores", "network and disk, MB/s")
BROKER_CPU = "broker_cpu_ms"
"""Among a run's details: CPU time of Kafka in that span, milliseconds."""

_TYPE = "incubator"
_TWINS = 10_000
_LOOK_S = 0.25
_SETTLED_S = 3.0
_DEALT_TIMEOUT_S = 180.0
_BYTES_PER_RECORD = 430.0
"""Read and written by a worker for a record of the incubator type: see docs/benchmarks.md."""


@dataclass(frozen=True)
class Model:
    """What a record costs, fitted to the measured runs.

    Attributes:
        worker_s: CPU seconds of workers per record.
        broker_s: Of Kafka.
        cores: Of this machine.
        errors: For each number of workers: rate by the model against the measured one, less 1.
    """

    worker_s: float
    broker_s: float
    cores: int
    errors: dict[int, float]

    def rows(self) -> Iterator[tuple[str, ...]]:
        """What 10, 100 and 1,000 partitions give where each worker has two cores of its own: under `MODEL_COLUMNS`."""
        for partitions in (10, 100, 1000):
            workers, cores = partitions, 2 * partitions
            rate = cores / self.worker_s
            broker = rate * self.broker_s
            size = rate * _BYTES_PER_RECORD / 1e6
            yield tuple(f"{value:,.0f}" for value in (partitions, workers, cores, rate, broker, size))

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "worker_us_per_record": round(self.worker_s * 1e6, 3),
            "broker_us_per_record": round(self.broker_s * 1e6, 3),
            "cores": self.cores,
            "errors": {str(workers): round(error, 3) for workers, error in self.errors.items()},
        }


async def measure(
    counts: Sequence[int], records: int, partitions: int, repeat: int, *, each_turn: EachTurn = never_enough
) -> list[Result]:
    """Run the incubator type on so many workers each.

    Args:
        counts: Of workers.
        records: Of one run.
        partitions: Of the input.
        repeat: Runs of each number of workers; they take turns.
        each_turn: Called after each turn.

    Raises:
        SetupError: Kafka can't be had.
    """
    workload = Workload(records, _TWINS, partitions)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinstream-bench-")))
        shown = stack.enter_context(Stages())
        shown.begin("embedded Kafka", 1)
        kafka = await stack.enter_async_context(EmbeddedKafka(folder, port=0))
        bench = _Bench(KafkaOptions(kafka.bootstrap_servers), folder, kafka.pid, workload, shown)
        turns = [Turn(OURS, f"{count} workers", f"scale-{count}", partial(bench.run, count)) for count in counts]
        return await take_turns(turns, repeat, shown, each_turn=each_turn)


def fit(results: Sequence[Result]) -> Model:
    """Costs per record as the mean over all runs; the machine's cores are what limits it.

    Raises:
        SetupError: there is no run.
    """
    results = [result for result in results if result.runs]
    if not results:
        message = "no number of workers came to its end"
        raise SetupError(message)
    runs = [run for result in results for run in result.runs]
    worker_s = fmean(run.cpu_seconds / run.records for run in runs)
    broker_s = fmean(run.detail[BROKER_CPU] / 1000 / run.records for run in runs)
    cores = machine.cores()
    limit = cores / (worker_s + broker_s)
    errors = {int(result.job.rpartition("-")[2]): limit / result.records_per_second.median - 1.0 for result in results}
    return Model(worker_s, broker_s, cores, errors)


@dataclass
class _Bench:
    kafka: KafkaOptions
    folder: Path
    kafka_pid: int
    workload: Workload
    shown: Stages

    async def run(self, workers: int) -> Finished:
        """Step the workload with so many workers, from the first record that is written to the last commit.

        Raises:
            SetupError: workers do not get their partitions, or got no further.
        """
        await clear(self.kafka)
        partitions, topics = self.workload.partitions, TypeTopics(_TYPE)
        await put_into_force(self.kafka, read_folder(INCUBATOR_FOLDER), partitions, who="bench")
        told = self.shown.begin(f"making {self.workload.records:,} records", self.workload.records)
        async with AsyncExitStack() as stack:
            loader = await stack.enter_async_context(Loader(self.kafka, topics.telemetry, self.workload))
            await loader.prepare(told)
            admin = await stack.enter_async_context(LogAdmin(self.kafka))
            processes = [await stack.enter_async_context(self._worker(number)) for number in range(workers)]
            self.shown.begin(f"{workers} workers get their partitions", 1)
            await self._dealt(workers, processes)
            group = consumer_group(_TYPE)

            async def committed() -> int:
                return sum((await admin.committed(group, [topics.telemetry])).values())

            ends = await admin.end_offsets([topics.telemetry])
            before = sum(ends.values())

            async def done() -> int:
                return max(0, await committed() - before)

            title = f"{workers} workers"
            told = self.shown.begin(title, self.workload.records)
            broker_s = cpu_seconds_of(self.kafka_pid)
            drain = Drain(title, processes, self.workload.records, done, told)
            run = await drain.while_given(loader.send())
            broker_ms = round((cpu_seconds_of(self.kafka_pid) - broker_s) * 1000)
            return Finished(run.records, run.seconds, run.cpu_seconds, {BROKER_CPU: broker_ms})

    def _worker(self, number: int) -> ChildProcess:
        # One data directory: what the first has compiled serves the others.
        argv = role_argv("type-worker", "--type", _TYPE, "--data-dir", str(self.folder / "workers"))
        environment = watched(self.kafka.bootstrap_servers, self.workload.partitions)
        log_path = self.folder / f"worker-{number}.log"
        return ChildProcess(f"worker {number}", argv, log_path=log_path, env=environment, cwd=ROOT)

    async def _dealt(self, workers: int, processes: Sequence[ChildProcess]) -> None:
        """Wait until every worker has had its share of the partitions for some seconds.

        Raises:
            SetupError: that does not come, or a worker ended.
        """
        clock = SystemClock()
        deadline_s = clock.monotonic_s() + _DEALT_TIMEOUT_S
        since_s, before = clock.monotonic_s(), None
        admin = AIOKafkaAdminClient(**self.kafka.client_kwargs())
        await admin.start()
        try:
            while True:
                shares = await self._shares(admin)
                now_s = clock.monotonic_s()
                if shares != before:
                    since_s, before = now_s, shares
                fair = len(shares) == workers and min(shares) >= self.workload.partitions // workers
                if fair and now_s - since_s > _SETTLED_S:
                    return
                dead = [process for process in processes if not process.alive]
                if dead or now_s > deadline_s:
                    tail = (dead or processes)[0].log_tail()[-2000:]
                    message = f"{workers} workers have {shares} partitions:\n{tail}"
                    raise SetupError(message)
                await asyncio.sleep(_LOOK_S)
        finally:
            await admin.close()

    async def _shares(self, admin: AIOKafkaAdminClient) -> list[int]:
        """How many partitions each member of the group has."""
        group = consumer_group(_TYPE)
        (answer,) = await retrying(lambda: admin.describe_consumer_groups([group]), f"members of {group}")
        shares = []
        for _, _, state, _, _, members, *_ in answer.groups:
            if state == "Stable":
                for member in members:
                    assignment = ConsumerProtocol.ASSIGNMENT.decode(member[4])
                    shares.append(sum(len(partitions) for _, partitions in assignment.assignment))
        return sorted(shares)
