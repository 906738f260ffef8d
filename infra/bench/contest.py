"""Runs contestants one after another against one broker, each with topics and a process of its own."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
from aiokafka.admin import AIOKafkaAdminClient

from infra.bench.job import Finished, Job, read_report
from infra.bench.producing import produce
from infra.bench.workload import Workload
from infra.deployment.switching import put_into_force
from infra.embedded.process import ChildProcess
from schemas.bundle import Bundle
from schemas.clock import SystemClock
from schemas.errors import SetupError
from schemas.topics import TypeTopics
from streams.log.admin import SHARED_TOPICS, LogAdmin
from streams.log.client import KafkaOptions

_LOOK_S = 0.1
_SILENCE_S = 120.0
_KEPT_TOPICS = set(SHARED_TOPICS)

Watch = Callable[[str, int], Callable[[int], None]]
"""Called with the title of a stage and its size; what it returns is told how far the stage is."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program that does the job.

    Attributes:
        name: In tables and JSON.
        label: What it is.
        module: What `python -m` runs.
        most_records: It gets no more than these; slow ones need not take all.
        is_engine: Whether it reads the twin type's own input topic.
    """

    name: str
    label: str
    module: str
    most_records: int = sys.maxsize
    is_engine: bool = False


CONTESTANTS = (
    Contestant("twinstream", "type worker, exactly once", "infra.bench.contestants.engine", is_engine=True),
    Contestant("faust", "stock Faust, agent and Table", "infra.bench.contestants.stock_faust", most_records=120_000),
    Contestant("floor", "aiokafka getmany + msgspec", "infra.bench.contestants.floor"),
)
BY_NAME = {contestant.name: contestant for contestant in CONTESTANTS}


@dataclass
class Contest:
    """One broker, one workload, several contestants.

    Attributes:
        kafka: The broker.
        bundle: The twin type that this engine steps.
        workload: What everybody reads.
        headers: Whether records carry a bridge's headers.
        folder: Where contestants put their files.
        watch: Is told what goes on.
    """

    kafka: KafkaOptions
    bundle: Bundle
    workload: Workload
    headers: bool
    folder: Path
    watch: Watch
    _runs: int = field(default=0, init=False)

    async def run(self, contestant: Contestant) -> Finished:
        """Let one contestant do the job on fresh topics.

        Raises:
            SetupError: it failed, with the end of its log.
        """
        self._runs += 1
        folder = self.folder / f"{contestant.name}-{self._runs:02d}"
        folder.mkdir(parents=True)
        await self._clear()
        engine_topic = TypeTopics(str(self.bundle.definition().type_name)).telemetry
        topic = engine_topic if contestant.is_engine else f"bench.{contestant.name}.telemetry"
        workload = replace(self.workload, records=min(self.workload.records, contestant.most_records))
        async with LogAdmin(self.kafka) as admin:
            if contestant.is_engine:
                # Nothing runs yet that could compile it first.
                await put_into_force(self.kafka, self.bundle, workload.partitions, who="bench")
            await admin.ensure_topics([topic], workload.partitions)
            ends = await admin.end_offsets([topic])
        starts = [ends[topic, partition] for partition in range(workload.partitions)]
        told = self.watch(f"records for {contestant.name}", workload.records)
        counts = await produce(self.kafka, topic, workload, headers=self.headers, progress=told)
        # One folder for all runs: what was compiled in the first serves the others.
        data_dir = self.folder / contestant.name
        data_dir.mkdir(exist_ok=True)
        after = [start + count for start, count in zip(starts, counts, strict=True)]
        job = Job(self.kafka.bootstrap_servers, topic, starts, after, str(data_dir), str(folder / "report.jsonl"))
        finished = await self._let_work(contestant, job, folder)
        if finished.records != workload.records:
            message = f"{contestant.name} worked on {finished.records} of {workload.records} records: see {folder}"
            raise SetupError(message)
        return finished

    async def _let_work(self, contestant: Contestant, job: Job, folder: Path) -> Finished:
        file = folder / "job.json"
        file.write_bytes(msgspec.json.encode(job))
        command = [sys.executable, "-m", contestant.module, str(file)]
        told = self.watch(contestant.name, job.records)
        clock = SystemClock()
        async with ChildProcess(contestant.name, command, log_path=folder / "output.log") as child:
            heard_s, done = clock.monotonic_s(), 0
            while True:
                ended = not child.alive
                for line in read_report(Path(job.report)):
                    if isinstance(line, Finished):
                        told(line.records)
                        return line
                    if line.records > done:
                        heard_s, done = clock.monotonic_s(), line.records
                told(done)
                silent = clock.monotonic_s() - heard_s > _SILENCE_S
                if ended or silent:
                    what = "ended early" if ended else f"got no further for {_SILENCE_S:.0f} s"
                    message = f"{contestant.name} {what} after {done} records:\n{child.log_tail()[-2000:]}"
                    raise SetupError(message)
                await asyncio.sleep(_LOOK_S)

    async def _clear(self) -> None:
        """Delete what the run before left behind; with its topics go a group's offsets."""
        admin = AIOKafkaAdminClient(**self.kafka.client_kwargs())
        await admin.start()
        try:
            while left := [name for name in await admin.list_topics() if _is_ours(name)]:
                await admin.delete_topics(left)
                await asyncio.sleep(_LOOK_S)
        finally:
            await admin.close()


def _is_ours(topic: str) -> bool:
    return not topic.startswith("__") and topic not in _KEPT_TOPICS
