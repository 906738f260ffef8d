"""Runs contestants one after another against one broker, each with topics and a process of its own."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
from aiokafka.admin import AIOKafkaAdminClient
from numpy.typing import NDArray

from infra.bench.child import finished
from infra.bench.expected import expected
from infra.bench.job import Finished, Job
from infra.bench.jobs import FOLDERS, Contestant
from infra.bench.kept import last_values, unpack_engine, unpack_peer, wrong_twins
from infra.bench.peers import ROOT
from infra.bench.producing import produce
from infra.bench.workload import Workload
from infra.deployment.switching import put_into_force
from schemas.bundle import Bundle, read_folder
from schemas.errors import SetupError
from schemas.topics import TypeTopics
from streams.log.admin import SHARED_TOPICS, LogAdmin
from streams.log.client import KafkaOptions

_LOOK_S = 0.1
_CLEAR_TIMEOUT_S = 60.0
_KEPT_TOPICS = set(SHARED_TOPICS)
_INPUT = "bench.input."

Watch = Callable[[str, int], Callable[[int], None]]
"""Called with the title of a stage and its size; what it returns is told how far the stage is."""


@dataclass
class Contest:
    """One broker and one workload, which several contestants turn into one job's states.

    Attributes:
        kafka: The broker.
        workload: What everybody reads.
        headers: Whether records carry a bridge's headers.
        folder: Where contestants put their files.
        watch: Is told what goes on.
        share: Of the records that slow contestants get.
    """

    kafka: KafkaOptions
    workload: Workload
    headers: bool
    folder: Path
    watch: Watch
    share: float = 1.0
    _runs: int = field(default=0, init=False)
    _inputs: dict[int, list[int]] = field(default_factory=dict, init=False)
    _expected: dict[tuple[str, int], NDArray[np.float64]] = field(default_factory=dict, init=False)

    @cached_property
    def _bundles(self) -> dict[str, Bundle]:
        return {kind: read_folder(folder) for kind, folder in FOLDERS.items()}

    async def run(self, contestant: Contestant, kind: str) -> Finished:
        """Let one contestant do one job.

        Raises:
            SetupError: it failed, with the end of its log, or ended with wrong states.
        """
        self._runs += 1
        folder = self.folder / f"{self._runs:02d}-{kind}-{contestant.name}"
        folder.mkdir(parents=True)
        await clear(self.kafka)
        most = max(1, round(contestant.most_records * self.share))
        counted = min(self.workload.records, most)
        workload = replace(self.workload, records=counted + contestant.warm_up)
        if contestant.is_engine:
            topic, starts, counts = await self._own_input(kind, workload)
        else:
            topic, starts, counts = await self._shared_input(workload)
        group = f"bench-{contestant.name}-{self._runs}"
        outputs = f"bench.{contestant.name}.outputs"
        async with LogAdmin(self.kafka) as admin:
            await admin.ensure_topics([outputs], workload.partitions)
        # One folder for all runs: what was compiled in the first serves the others. Peers must not find old states.
        data_dir = self.folder / kind if contestant.is_engine else folder / "data"
        data_dir.mkdir(exist_ok=True)
        job = Job(
            kind=kind,
            bootstrap_servers=self.kafka.bootstrap_servers,
            group=group,
            topic=topic,
            outputs=outputs,
            starts=starts,
            ends=[start + count for start, count in zip(starts, counts, strict=True)],
            warm_up=contestant.warm_up,
            data_dir=str(data_dir),
            report=str(folder / "report.jsonl"),
        )
        done = await self._let_work(contestant, job, folder)
        if done.records != counted:
            message = f"{contestant.name} worked on {done.records} of {counted} records: see {folder}"
            raise SetupError(message)
        await self._check(contestant, kind, workload, contestant.changelog.format(group=group, topic=topic))
        return done

    async def _own_input(self, kind: str, workload: Workload) -> tuple[str, list[int], list[int]]:
        """This engine's input topic, with a version in force and the workload after it."""
        bundle = self._bundles[kind]
        topic = TypeTopics(str(bundle.definition().type_name)).telemetry
        # Nothing runs yet that could compile it first.
        await put_into_force(self.kafka, bundle, workload.partitions, who="bench")
        async with LogAdmin(self.kafka) as admin:
            ends = await admin.end_offsets([topic])
        starts = [ends[topic, partition] for partition in range(workload.partitions)]
        return topic, starts, await self._produce(topic, workload)

    async def _shared_input(self, workload: Workload) -> tuple[str, list[int], list[int]]:
        """A topic that all peers with so many records read."""
        topic = f"{_INPUT}{workload.records}"
        if workload.records not in self._inputs:
            async with LogAdmin(self.kafka) as admin:
                await admin.ensure_topics([topic], workload.partitions)
            self._inputs[workload.records] = await self._produce(topic, workload)
        return topic, [0] * workload.partitions, self._inputs[workload.records]

    async def _produce(self, topic: str, workload: Workload) -> list[int]:
        told = self.watch(f"writing {workload.records:,} records", workload.records)
        return await produce(self.kafka, topic, workload, headers=self.headers, progress=told)

    async def _check(self, contestant: Contestant, kind: str, workload: Workload, changelog: str) -> None:
        """See that what the contestant's changelog ends with is right.

        Raises:
            SetupError: it is not.
        """
        if contestant.is_engine:
            bundle = self._bundles[kind]
            changelog, unpack = TypeTopics(str(bundle.definition().type_name)).state, unpack_engine(bundle)
        elif changelog:
            unpack = unpack_peer(kind)
        else:
            return
        self.watch(f"{contestant.name}, checking states", 1)
        place = kind, workload.records
        if place not in self._expected:
            self._expected[place] = expected(kind, workload)
        values = await last_values(self.kafka, changelog)
        wrong = wrong_twins(values, unpack, workload.keys, self._expected[place])
        if wrong:
            message = f"{contestant.name} ended {kind} with wrong states of {wrong} of {workload.twins} twins"
            raise SetupError(message)

    async def _let_work(self, contestant: Contestant, job: Job, folder: Path) -> Finished:
        file = folder / "job.json"
        file.write_bytes(msgspec.json.encode(job))
        told = self.watch(f"{job.kind}: {contestant.name}", job.records)
        env = {"PYTHONPATH": str(ROOT)}
        return await finished(contestant.name, contestant.command(file), Path(job.report), env=env, told=told)


async def clear(kafka: KafkaOptions) -> None:
    """Delete what the run before left behind; with its topics go a group's offsets.

    Raises:
        SetupError: topics are still there after a minute.
    """
    admin = AIOKafkaAdminClient(**kafka.client_kwargs())
    await admin.start()
    left: list[str] = []
    try:
        async with asyncio.timeout(_CLEAR_TIMEOUT_S):
            while left := [name for name in await admin.list_topics() if _is_of_a_run(name)]:
                await admin.delete_topics(left)
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        message = f"Kafka does not delete {', '.join(left)}"
        raise SetupError(message) from None
    finally:
        await admin.close()


def _is_of_a_run(topic: str) -> bool:
    return not topic.startswith(("__", _INPUT)) and topic not in _KEPT_TOPICS
