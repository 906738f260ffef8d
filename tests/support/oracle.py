"""What an undisturbed run gives: the whole input through one processor per partition, in one thread."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.topics import TypeTopics
from streams.block import Block
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.record import LogRecord
from streams.processor import Lineage, Outcome
from twins.processor import TwinProcessor
from twins.twin_type import TwinType


@dataclass
class Result:
    """States by twin, and every output record or line with how often it occurs."""

    states: dict[bytes, bytes] = field(default_factory=dict)
    outputs: Counter[tuple[str, bytes | None, bytes]] = field(default_factory=Counter)

    def add_output(self, topic: str, key: bytes | None, value: bytes) -> None:
        """Count a record; of time series every line counts by itself, because blocks follow fetches."""
        if topic.endswith(".timeseries"):
            for line in value.splitlines():
                self.outputs[topic, None, line] += 1
        else:
            self.outputs[topic, key, value] += 1


async def read_all(options: KafkaOptions, topics: tuple[str, ...]) -> list[LogRecord]:
    """Every committed record of topics."""
    records: list[LogRecord] = []
    async with Follower(options, topics=topics) as follower:
        while not await follower.caught_up():
            records += await follower.read(timeout_s=0.2)
    return records


def replay(
    type_name: str,
    versions: Mapping[str, TwinType],
    cluster: str,
    topic_id: str,
    records: list[LogRecord],
    cut: int = 500,
) -> Result:
    """Step input records, `cut` at a time, under the versions that they switch to."""
    result = Result()
    for partition in sorted({record.partition for record in records}):
        mine = [record for record in records if record.partition == partition]
        processor = TwinProcessor(type_name, Lineage(cluster, topic_id, partition), versions)
        for start in range(0, len(mine), cut):
            outcome = processor.process(block_of(mine[start : start + cut]))
            assert not outcome.wants
            _add(result, outcome)
        for key, value in processor.snapshot():
            if not key.startswith(b"#") and value is not None:
                result.states[key] = value
    return result


def block_of(records: list[LogRecord]) -> Block:
    """Records of one partition as a block."""
    made = [(record.offset, record.timestamp_ms, record.key, record.value, record.headers) for record in records]
    return Block.of_records(records[0].partition, made)


async def observed(options: KafkaOptions, type_name: str) -> Result:
    """What stands in the topics of a type."""
    topics = TypeTopics(type_name)
    result = Result()
    for record in await read_all(options, (topics.state,)):
        if record.key is not None and record.value is not None and not record.key.startswith(b"#"):
            result.states[record.key] = record.value
    outputs = (topics.commands, topics.events, topics.timeseries, topics.metadata)
    for record in await read_all(options, outputs):
        result.add_output(record.topic, record.key, record.value or b"")
    return result


def load_type(folder: Path, content: str, cache: Path) -> TwinType:
    """Compile a folder."""
    from schemas.bundle import read_folder  # noqa: PLC0415 - only here

    twin_type = TwinType.load(folder, read_folder(folder).definition(), content, 8, cache)
    twin_type.warm_up()
    return twin_type


def _add(result: Result, outcome: Outcome) -> None:
    for topic, records in outcome.outputs.items():
        for key, value, _ in records:
            result.add_output(topic, key, value or b"")
