"""`twinstream bench restore`: how fast a worker reads its rows back."""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka import TopicPartition

from infra.bench.jobs import INCUBATOR_FOLDER
from infra.bench.loading import load
from infra.bench.restoring import Job, Restore
from infra.bench.stages import Stages
from infra.bench.workload import Workload
from infra.embedded.kafka import EmbeddedKafka
from infra.embedded.process import ChildProcess
from schemas.errors import SetupError
from schemas.headers import input_headers
from streams.block import Block
from streams.log.admin import LogAdmin
from streams.options import EngineOptions
from streams.partition import PartitionRows
from streams.processor import Lineage
from streams.targets import Targets
from streams.transaction import PartitionTransactions, Place
from twins.processor import TwinProcessor
from twins.twin_type import TwinType

if TYPE_CHECKING:
    from streams.packing import PackedBatch

COLUMNS = ("figure", "lowest", "median", "highest", "to reach")
LIMIT_ROWS_PER_CPU_S = 200_000
"""Per second of one core."""

LIMIT_S_PER_MILLION = 10.0
"""Seconds for a million rows."""

_BLOCK_RECORDS = 20_000


@dataclass(frozen=True)
class Finished:
    """What was measured.

    Attributes:
        rows: In the changelog.
        partitions: That they lie in.
        changelog_bytes: Of all rows, without keys.
        runs: Each in a process of its own.
    """

    rows: int
    partitions: int
    changelog_bytes: int
    runs: tuple[Restore, ...]


async def measure(rows: int, partitions: int, repeat: int) -> Finished:
    """Fill the incubator type's changelog and restore it by new processes, each all partitions at once.

    Raises:
        SetupError: Kafka can't be had, or a process failed.
    """
    if not INCUBATOR_FOLDER.is_dir():
        message = f"{INCUBATOR_FOLDER} is not there: run from a clone of the repository"
        raise SetupError(message)
    with tempfile.TemporaryDirectory(prefix="twinstream-bench-") as name, Stages() as shown:
        folder = Path(name)
        shown.begin("embedded Kafka, compiling", 1)
        twin_type = load(INCUBATOR_FOLDER, folder / "kernels", partitions)
        async with EmbeddedKafka(folder / "kafka", port=0) as kafka:
            job = Job(kafka.bootstrap_servers, partitions, str(INCUBATOR_FOLDER), str(folder))
            options = job.options(twin_type)
            async with LogAdmin(options.kafka) as admin:
                await admin.ensure_topics([options.source, options.changelog], partitions)
                topic_id = (await admin.topic_ids([options.source]))[options.source]
            told = shown.begin(f"stepping {rows:,} twins", rows)
            written = await _fill(options, topic_id, twin_type, Workload(rows, rows, partitions), told)
            file = folder / "job.json"
            file.write_bytes(msgspec.json.encode(job))
            told = shown.begin("restoring", repeat)
            runs = []
            for number in range(repeat):
                runs.append(await _restored(file, folder))
                told(number + 1)
    if any(run.rows != rows for run in runs):
        message = f"{[run.rows for run in runs]} of {rows} rows were restored, so the runs do not count"
        raise SetupError(message)
    return Finished(rows, partitions, written, tuple(runs))


def as_json(finished: Finished, machine: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """The measurement for machines."""
    return {
        "rows": finished.rows,
        "partitions": finished.partitions,
        "changelog_mb": round(finished.changelog_bytes / 1e6, 1),
        "rows_per_cpu_second": round(median(run.rows / run.cpu_seconds for run in finished.runs)),
        "rows_per_second": round(median(run.rows / run.seconds for run in finished.runs)),
        "to_reach": LIMIT_ROWS_PER_CPU_S,
        "runs": [msgspec.to_builtins(run) for run in finished.runs],
        "machine": machine,
        "versions": versions,
    }


def as_rows(finished: Finished) -> Iterator[tuple[str, ...]]:
    """The measurement for people."""
    limit_s = LIMIT_S_PER_MILLION * finished.rows / 1e6
    figures: list[tuple[str, Callable[[Restore], float], str, str]] = [
        ("rows/s of one core", lambda run: run.rows / run.cpu_seconds, ",.0f", f"{LIMIT_ROWS_PER_CPU_S:,}"),
        ("rows/s", lambda run: run.rows / run.seconds, ",.0f", ""),
        ("seconds", lambda run: run.seconds, ".2f", f"{limit_s:g}"),
        ("CPU seconds", lambda run: run.cpu_seconds, ".2f", ""),
        ("peak memory, MB", lambda run: run.peak_bytes / 1e6, ",.0f", ""),
    ]
    for title, of_run, form, limit in figures:
        values = sorted(of_run(run) for run in finished.runs)
        yield (title, *(format(value, form) for value in (values[0], median(values), values[-1])), limit)


async def _fill(
    options: EngineOptions, topic_id: str, twin_type: TwinType, workload: Workload, told: Callable[[int], None]
) -> int:
    """Step one record of every twin and write the rows; returns their bytes."""
    content = twin_type.content
    targets = Targets(options)
    rows = [
        PartitionRows(
            lineage := Lineage(options.cluster, topic_id, number),
            TwinProcessor(str(twin_type.definition.type_name), lineage, {content: twin_type}, content),
            0,
            0,
            0,
        )
        for number in range(options.partitions)
    ]
    owners = [
        PartitionTransactions(options.kafka, f"bench.{number}", number, 60.0, targets)
        for number in range(options.partitions)
    ]
    for owner in owners:
        await owner.fence()
    size = done = 0
    pending: list[list[Any]] = [[] for _ in owners]

    async def flush(number: int) -> None:
        nonlocal size, done
        records, pending[number] = pending[number], []
        rows[number].process(Block.of_records(number, records), 0.0)
        snapshot = rows[number].snapshot(0.0)
        size += sum(len(value or b"") for _, value, _ in snapshot.rows)
        batches: dict[Place, list[PackedBatch]] = {options.changelog: owners[number].batches(snapshot.rows)}
        source = TopicPartition(options.source, number)
        await owners[number].commit(batches, options.changelog, {source: snapshot.position}, options.group)
        rows[number].flushed = snapshot.position
        done += len(records)
        told(done)

    headers = input_headers(received_ns=2**62, source="bench")
    for cycle in workload.cycles():
        for partition, key, value in cycle:
            ahead = pending[partition]
            ahead.append((rows[partition].position + len(ahead), 0, key, value, headers))
            if len(ahead) == _BLOCK_RECORDS:
                await flush(partition)
    for number, owner in enumerate(owners):
        if pending[number]:
            await flush(number)
        await owner.close()
    return size


async def _restored(file: Path, folder: Path) -> Restore:
    report = folder / "restored.json"
    command = [sys.executable, "-m", "infra.bench.restoring", str(file), str(report)]
    async with ChildProcess("restore", command, log_path=folder / "restore.log") as child:
        code = await child.wait()
        if code:
            message = f"restoring failed:\n{child.log_tail()[-2000:]}"
            raise SetupError(message)
    return await asyncio.to_thread(lambda: msgspec.json.decode(report.read_bytes(), type=Restore))
