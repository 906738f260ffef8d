"""What came out beside what must: by plain arithmetic, and bit for bit by an undisturbed run in one thread."""

from collections import Counter
from pathlib import Path

import msgspec
from faults.numbered import Numbered, Tally
from faults.run import Run
from support import oracle

from schemas.bundle import read_folder
from schemas.topics import DEADLETTER, TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.record import LogRecord


class _Identified(msgspec.Struct):
    seq: int
    boot: str


async def compare(run: Run, kafka: KafkaOptions, folder: Path, load: Numbered) -> int:
    """Compare all that stands in the topics of a type with what its load must lead to.

    Args:
        run: Gets the figures.
        folder: The one version that was ever in force.
        load: What was sent, and confirmed.

    Returns:
        How many records are in the input topic again.
    """
    definition = read_folder(folder).definition()
    topics = TypeTopics(str(definition.type_name))
    records = await oracle.read_all(kafka, (topics.telemetry,))
    copies = _arrivals(run, records, load)
    found = await oracle.observed(kafka, topics.type)
    found.outputs = Counter({one: times for one, times in found.outputs.items() if not _is_told_by_a_bridge(one[2])})
    lines = [line for topic, _, line in found.outputs.elements() if topic == topics.timeseries]
    _tallies(run, lines, load)
    async with LogAdmin(kafka) as admin:
        cluster = await admin.cluster_id()
        topic_id = (await admin.topic_ids([topics.telemetry]))[topics.telemetry]
    version = oracle.load_type(folder, read_folder(folder).hash, run.cache)
    expected = oracle.replay(topics.type, {version.content: version}, cluster, topic_id, records)
    expected.outputs = Counter({one: times for one, times in expected.outputs.items() if one[0] != DEADLETTER})
    _replayed(run, expected, found)
    return copies


def _arrivals(run: Run, records: list[LogRecord], load: Numbered) -> int:
    """Whether every record that was sent is in the input; copies are counted, and may show in no tally."""
    arrived = Counter(identity for record in records if (identity := _identity(record)))
    wanted = set(load.identities())
    run.exactly("records lost before the input topic", 0, len(wanted - arrived.keys()))
    run.exactly("records in the input topic that nobody sent", 0, len(arrived.keys() - wanted))
    copies = arrived.total() - len(arrived)
    run.say(f"{load.count} records were sent, {copies} of them are in the input topic again")
    return copies


def _is_told_by_a_bridge(value: bytes) -> bool:
    """What became of a command at a broker, which depends on the broker and on when it was there."""
    return b'"name":"command_' in value


def _identity(record: LogRecord) -> tuple[str, int] | None:
    """Twin and number; None of what no device numbered."""
    try:
        return (record.key or b"").decode(), msgspec.json.decode(record.value or b"", type=_Identified).seq
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _tallies(run: Run, lines: list[bytes], load: Numbered) -> None:
    """Count, sum, minimum and maximum after every single record."""
    found = Counter(map(_tally, lines))
    wanted = set(load.tallies())
    run.exactly("counts, sums, minima and maxima that are missing", 0, len(wanted - found.keys()))
    run.exactly("counts, sums, minima and maxima that are wrong", 0, len(found.keys() - wanted))
    run.exactly("records that acted twice", 0, found.total() - len(found))


def _tally(line: bytes) -> tuple[str, Tally]:
    place, fields, _ = line.decode().split(" ")
    twin = next(tag for tag in place.split(",") if tag.startswith("twin="))
    named = dict(field.split("=") for field in fields.split(","))
    count, total, low, high = (float(named[name]) for name in ("count", "total", "low", "high"))
    return twin.removeprefix("twin="), (count, total, low, high)


def _replayed(run: Run, expected: oracle.Result, found: oracle.Result) -> None:
    names = expected.states.keys() | found.states.keys()
    different = [name for name in names if expected.states.get(name) != found.states.get(name)]
    run.exactly("twins whose state differs in any bit", 0, len(different))
    run.exactly("outputs that are missing", 0, (expected.outputs - found.outputs).total())
    run.exactly("outputs that are double or wrong", 0, (found.outputs - expected.outputs).total())
