"""Restores every partition of the incubator type in a process of its own, as a worker's engine does, and reports."""

import asyncio
import resource
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from infra.bench.job import cpu_seconds
from infra.bench.loading import load
from schemas.topics import TypeTopics
from streams.fetch import fetch_blocks_of
from streams.log.client import KafkaOptions
from streams.opening import Opener
from streams.options import EngineOptions
from streams.processor import Lineage, SilentObserver
from twins.processor import TwinProcessor
from twins.twin_type import TwinType


class Job(msgspec.Struct, frozen=True):
    """What to restore.

    Attributes:
        folder: Of the type.
        scratch: Where its compiled kernels lie.
    """

    bootstrap_servers: str
    partitions: int
    folder: str
    scratch: str

    def options(self, twin_type: TwinType) -> EngineOptions:
        """Those of the type's worker."""
        topics = TypeTopics(str(twin_type.definition.type_name))
        kafka = KafkaOptions(self.bootstrap_servers)
        return EngineOptions(
            kafka, "bench", topics.telemetry, topics.state, "bench", Path(self.scratch), self.partitions
        )


class Restore(msgspec.Struct, frozen=True):
    """One restore of all partitions.

    Attributes:
        rows: Twins that are there again.
        seconds: From fencing the first to the last being ready to step; imports and compiled code are there before.
        cpu_seconds: User and system time of the process in that span.
        peak_bytes: Largest resident memory of the process.
        rows_bytes: What the rows say that they take.
    """

    rows: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    rows_bytes: int


class _One:
    """Makes processors of one version."""

    def __init__(self, twin_type: TwinType) -> None:
        self._type = twin_type
        self.made: list[TwinProcessor] = []

    async def make(self, lineage: Lineage, _note: Mapping[str, str]) -> TwinProcessor:
        """Under that version, whatever was noted."""
        self.made.append(TwinProcessor.of(self._type, lineage))
        return self.made[-1]

    async def provide(self, wanted: str) -> None:
        """Never asked for.

        Raises:
            ValueError: always.
        """
        raise ValueError(wanted)


async def restore(options: EngineOptions, twin_type: TwinType) -> Restore:
    """Open all partitions at once and let go of them."""
    versions = _One(twin_type)
    with ThreadPoolExecutor(1) as thread:

        async def in_thread(_partition: int, work: Callable[[], Any]) -> Any:  # noqa: ANN401
            return await asyncio.get_running_loop().run_in_executor(thread, work)

        fetch_blocks_of([options.changelog])
        opener = Opener(options, versions, SilentObserver(), in_thread)
        began_s, cpu_s = time.perf_counter(), cpu_seconds()
        opened = await asyncio.gather(*(opener.open(number, None) for number in range(options.partitions)))
        seconds, used_s = time.perf_counter() - began_s, cpu_seconds() - cpu_s
    for _, transactions in opened:
        await transactions.close()
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    twins = sum(len(made.version.table) for made in versions.made if made.version is not None)
    return Restore(twins, seconds, used_s, peak_bytes, sum(made.size_bytes for made in versions.made))


def main() -> None:
    """Do the job that the first argument names, and write the report that the second one does."""
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job)
    twin_type = load(Path(job.folder), Path(job.scratch) / "kernels", job.partitions)
    found = asyncio.run(restore(job.options(twin_type), twin_type))
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
