"""`twinstream bench start`: how soon a worker that is started does its work."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from infra.bench.jobs import FOLDERS, INCUBATOR
from infra.bench.peers import ROOT
from infra.bench.producing import produce
from infra.bench.stages import Stages
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

COLUMNS = ("figure", "lowest", "median", "highest", "to reach")
LIMIT_S = 5.0

_RECORDS, _TWINS, _PARTITIONS = 10_000, 1000, 8
_LOOK_S = 0.02
_TIMEOUT_S = 120.0


async def measure(repeat: int) -> list[float]:
    """Seconds from starting a worker's process to its first commit of records that wait for it; incubator type.

    Kafka runs. A first start, which compiles, does not count.

    Args:
        repeat: Starts, each of a new process; what the one before it left over comes first.

    Raises:
        SetupError: Kafka can't be had, or a worker does not get to its work.
    """
    if not FOLDERS[INCUBATOR].is_dir():
        message = f"{FOLDERS[INCUBATOR]} is not there: run from a clone of the repository"
        raise SetupError(message)
    with tempfile.TemporaryDirectory(prefix="twinstream-bench-") as name, Stages() as shown:
        shown.begin("embedded Kafka", 1)
        async with EmbeddedKafka(Path(name) / "kafka", port=0) as kafka:
            bench = _Bench(KafkaOptions(kafka.bootstrap_servers), Path(name))
            await put_into_force(bench.kafka, read_folder(FOLDERS[INCUBATOR]), _PARTITIONS, who="bench")
            shown.begin("the first start, which compiles", 1)
            await bench.started()
            told = shown.begin("starting", repeat)
            found = []
            for number in range(repeat):
                found.append(await bench.started())
                told(number + 1)
            return found


def as_row(seconds: Sequence[float]) -> tuple[str, ...]:
    """For people, under `COLUMNS`."""
    found = (min(seconds), median(seconds), max(seconds))
    return ("process started to first commit, s", *(f"{value:.2f}" for value in found), f"{LIMIT_S:g}")


def as_json(seconds: Sequence[float], machine: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """For machines; without what is empty."""
    spread = {"minimum": min(seconds), "median": median(seconds), "maximum": max(seconds)}
    found = {"first_commit_s": {name: round(value, 3) for name, value in spread.items()}, "to_reach": LIMIT_S}
    return found | {name: value for name, value in (("machine", machine), ("versions", versions)) if value}


@dataclass
class _Bench:
    kafka: KafkaOptions
    folder: Path

    async def started(self) -> float:
        """Write records, start a worker, wait for its first commit and end it."""
        topics, clock = TypeTopics(INCUBATOR), SystemClock()
        workload = Workload(_RECORDS, _TWINS, _PARTITIONS)
        await produce(self.kafka, topics.telemetry, workload, headers=True, progress=lambda _: None)
        async with LogAdmin(self.kafka) as admin:

            async def committed() -> int:
                return sum((await admin.committed(consumer_group(INCUBATOR), [topics.telemetry])).values())

            before = await committed()
            began_s = clock.monotonic_s()
            async with self._worker() as worker:
                while await committed() <= before:
                    if not worker.alive or clock.monotonic_s() - began_s > _TIMEOUT_S:
                        message = f"the worker does not get to its work:\n{worker.log_tail()[-2000:]}"
                        raise SetupError(message)
                    await asyncio.sleep(_LOOK_S)
                return clock.monotonic_s() - began_s

    def _worker(self) -> ChildProcess:
        argv = role_argv("type-worker", "--type", INCUBATOR, "--data-dir", str(self.folder / "worker"))
        environment = watched(self.kafka.bootstrap_servers, _PARTITIONS)
        return ChildProcess("worker", argv, log_path=self.folder / "worker.log", env=environment, cwd=ROOT)
