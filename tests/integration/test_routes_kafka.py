"""From twin to twin on a real Kafka: exactly once through kills, up to a limit of hops, nothing of what was aborted."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiokafka import TopicPartition
from support import oracle
from support.stepping import START_NS, write_type
from support.worker_process import WorkerProcess

from infra.deployment.switching import put_into_force
from schemas.bundle import read_folder
from schemas.headers import CAUSE, HOPS, input_headers
from schemas.headers import Kind as RecordKind
from schemas.partitioning import partition_of
from schemas.topics import DEADLETTER, TypeTopics
from streams.engine import EngineOptions
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.record import LogRecord
from streams.log.writer import LogWriter
from streams.targets import Targets
from streams.transaction import PartitionTransactions, Place
from twins.layout import RowLayout

if TYPE_CHECKING:
    from streams.packing import PackedBatch
    from streams.processor import OutputRecord

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(240)]

FEEDER = """\
name: {name}
version: 1.0.0
inputs:
  value: {{type: float}}
  tally: {{type: int}}
outputs:
  timeseries:
    fields: [value]
    route: {{type: {target}, id: tally, as: {{value: value}}}}
"""
TALLY = """\
name: {name}
version: 1.0.0
late: flag
inputs:
  value: {{type: float}}
pipeline:
  - {{name: statistics, step: running_statistics, outputs: [count, mean, variance]}}
outputs:
  timeseries: {{fields: [count, mean]}}
"""
RING = """\
name: {name}
version: 1.0.0
inputs:
  value: {{type: float}}
parameters:
  next: {{type: string, default: ""}}
outputs:
  events:
    passed: {{when: round, edge: each, route: {{type: {name}, id: next, as: {{value: value}}}}}}
pipeline:
  - {{name: always, step: steps.py:always, outputs: {{round: {{type: bool}}}}}}
"""
ALWAYS = "def always(value):\n    return value == value\n"
FEEDERS, TALLIES, PARTITIONS = 60, 25, 8


@pytest.fixture
def options(kafka: KafkaOptions) -> KafkaOptions:
    return KafkaOptions(kafka.bootstrap_servers)


async def _deploy(options: KafkaOptions, folder: Path) -> None:
    await put_into_force(options, read_folder(folder), PARTITIONS, who="tests")


async def _drained(options: KafkaOptions, type_name: str, workers: list[WorkerProcess]) -> None:
    topic = TypeTopics(type_name).telemetry
    try:
        async with asyncio.timeout(90), LogAdmin(options) as admin:
            while True:
                ends = await admin.end_offsets([topic])
                done = await admin.committed(f"twinstream-{type_name}", [topic])
                if not any(end - done.get(place, 0) for place, end in ends.items()):
                    return
                await asyncio.sleep(0.3)
    except TimeoutError:
        pytest.fail("\n".join(worker.output()[-3000:] for worker in workers))


async def _send(options: KafkaOptions, topic: str, per_second: float, until: asyncio.Event) -> int:
    """Readings of random feeders for random tallies, until told to stop; how many."""
    rng = random.Random(7)
    started_s = time.monotonic()
    async with LogWriter(options, linger_ms=5) as writer:
        sent = []
        number = 0
        while not until.is_set():
            said = {"value": rng.random(), "tally": rng.randrange(TALLIES), "time": START_NS + number * 10**6}
            key = f"feeder-{rng.randrange(FEEDERS)}".encode()
            sent.append(await writer.send(topic, key, msgspec.json.encode(said)))
            number += 1
            if number % 50 == 0:
                await asyncio.sleep(max(0.0, started_s + number / per_second - time.monotonic()))
        await asyncio.gather(*sent)
    return number


async def test_what_one_type_tells_another_is_there_exactly_once_through_kills_of_both_workers(
    options: KafkaOptions, tmp_path: Path
) -> None:
    suffix = random.randrange(10**9)
    feeder, tally = f"feeder_{suffix}", f"tally_{suffix}"
    folders = {
        feeder: write_type(tmp_path / feeder, FEEDER.format(name=feeder, target=tally)),
        tally: write_type(tmp_path / tally, TALLY.format(name=tally)),
    }
    await _deploy(options, folders[feeder])
    await _deploy(options, folders[tally])

    def worker(type_name: str, name: str) -> WorkerProcess:
        return WorkerProcess(type_name, options.bootstrap_servers, tmp_path / f"{type_name}-{name}")

    workers = {feeder: worker(feeder, "first"), tally: worker(tally, "first")}
    until = asyncio.Event()
    sending = asyncio.create_task(_send(options, TypeTopics(feeder).telemetry, 500, until))
    try:
        async with asyncio.timeout(60), LogAdmin(options) as admin:
            while not await admin.committed(f"twinstream-{tally}", [TypeTopics(tally).telemetry]):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        for type_name in (feeder, tally):
            workers[type_name].kill()
            workers[type_name] = worker(type_name, "second")
        await asyncio.sleep(5)
        until.set()
        count = await sending
        await _drained(options, feeder, list(workers.values()))
        await _drained(options, tally, list(workers.values()))
        for one in workers.values():
            assert await asyncio.to_thread(one.stop) == 0, one.output()[-3000:]
    finally:
        until.set()
        for one in workers.values():
            one.end()

    source = TypeTopics(feeder).telemetry
    told = [record for record in await oracle.read_all(options, (source,)) if record.key]
    assert len(told) == count
    routed = [record for record in await oracle.read_all(options, (TypeTopics(tally).telemetry,)) if record.key]
    assert Counter(map(_what, routed)) == Counter(map(_expected, told))
    assert {record.partition for record in routed} == set(range(PARTITIONS))
    assert all(record.partition == partition_of(record.key or b"", PARTITIONS) for record in routed)
    counts = Counter(str(_said(record)["tally"]).encode() for record in told)
    layout = RowLayout.of(read_folder(folders[tally]).definition())
    rows = (await oracle.observed(options, tally)).states
    # Feeders overtake each other: the last that was told may be outdated, which counts, and gives no output.
    assert {key: layout.describe(value).state["statistics"]["count"] for key, value in rows.items()} == counts


def _said(record: LogRecord) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.json.decode(record.value or b"")
    return said


def _expected(record: LogRecord) -> tuple[Any, ...]:
    """What a feeder's record leads to."""
    said = _said(record)
    cause = f"{record.topic}/{record.partition}/{record.offset}".encode()
    return str(said["tally"]).encode(), said["time"], said["value"], b"1", cause


def _what(record: LogRecord) -> tuple[Any, ...]:
    said, headers = _said(record), dict(record.headers)
    return record.key, said["time"], said["value"], headers[HOPS], headers[CAUSE]


async def test_what_goes_in_circles_ends_at_the_limit_as_a_dead_letter(options: KafkaOptions, tmp_path: Path) -> None:
    name = f"ring_{random.randrange(10**9)}"
    await _deploy(options, write_type(tmp_path / name, RING.format(name=name), steps=ALWAYS))
    topics = TypeTopics(name)
    worker = WorkerProcess(name, options.bootstrap_servers, tmp_path / "worker")
    try:
        async with LogWriter(options) as writer:
            for twin, following in (("a", "b"), ("b", "a")):
                value = msgspec.json.encode({"parameters": {"next": following}})
                headers = input_headers(received_ns=1, source="t", kind=RecordKind.PARAMETERS, record_id=f"{twin}" * 32)
                await (await writer.send(topics.telemetry, twin.encode(), value, headers=headers))
            await (await writer.send(topics.telemetry, b"a", b'{"value": 1.5, "time": 1700000000000000000}'))
        async with asyncio.timeout(90):
            while not (letters := await _letters(options, name)):  # noqa: ASYNC110 - Kafka has no event for it
                await asyncio.sleep(0.5)
        await _drained(options, name, [worker])
    finally:
        worker.end()
    passed = [
        event for event in await oracle.read_all(options, (topics.events,)) if b'"passed"' in (event.value or b"")
    ]
    assert Counter(event.key for event in passed) == {b"a": 4, b"b": 4}
    (letter,) = letters
    assert (letter["reason"], letter["twin"]) == ("too_many_hops", "a")
    source, partition, _ = letter["source"].removeprefix("kafka:").split("/")
    assert (source, int(partition)) == (topics.telemetry, partition_of("b", PARTITIONS))


async def _letters(options: KafkaOptions, type_name: str) -> list[dict[str, Any]]:
    found = [msgspec.json.decode(record.value or b"") for record in await oracle.read_all(options, (DEADLETTER,))]
    return [letter for letter in found if letter.get("type") == type_name]


async def test_nothing_of_an_aborted_flush_is_seen_and_a_missing_topic_is_made(
    options: KafkaOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"routes-{random.randrange(10**9)}"
    source, target = f"{name}.telemetry", f"twinstream.{name}-target.telemetry"
    async with LogAdmin(options) as admin:
        await admin.ensure_topics([source], 1)
    engine = EngineOptions(options, name, source, source, "cluster", tmp_path, partitions=3)
    routed: dict[str, list[OutputRecord]] = {
        target: [(b"twin-%d" % (number % 9), b"%d" % number, ((HOPS, b"1"),)) for number in range(90)]
    }

    async def flush(transactions: PartitionTransactions) -> None:
        batches: dict[Place, list[PackedBatch]] = {source: transactions.batches([(b"k", b"row", ())])}
        batches |= await transactions.addressed(routed)
        await transactions.commit(batches, source, {TopicPartition(source, 0): 1}, name)

    first = PartitionTransactions(options, name, 0, 10.0, Targets(engine))
    await first.fence()
    with monkeypatch.context() as patched:
        patched.setattr(first._producer, "send_offsets_to_transaction", _fail)  # noqa: SLF001 - a flush that fails late
        with pytest.raises(ConnectionError):
            await flush(first)
    second = PartitionTransactions(options, name, 0, 10.0, Targets(engine))
    await second.fence()
    try:
        assert await oracle.read_all(options, (target,)) == []
        await flush(second)
    finally:
        await second.close()
        await first.close()
    records = await oracle.read_all(options, (target,))
    assert sorted(int(record.value or b"") for record in records) == list(range(90))
    assert all(record.partition == partition_of(record.key or b"", 3) for record in records)
    for key in {record.key for record in records}:
        mine = [int(record.value or b"") for record in records if record.key == key]
        assert mine == sorted(mine)
    async with LogAdmin(options) as admin:
        assert await admin.partitions_of(target) == 3


async def _fail(*_: object) -> None:
    raise ConnectionError
