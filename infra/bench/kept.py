"""Whether Kafka has what a contestant should have written: the last state of every twin, or every message."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from numpy.typing import NDArray

from infra.bench.contestants.steps import WORK
from schemas.bundle import Bundle
from schemas.errors import SetupError
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.processor import RESERVED_KEY_PREFIX
from twins.layout import RowLayout

Unpack = Callable[[Sequence[bytes]], NDArray[np.float64]]
"""Changelog values of n twins to (n, k) numbers, as `infra.bench.expected` orders them."""

_TOLERANCE = 1e-9
_FETCH_BYTES = 8 * 1024 * 1024
_TIMEOUT_MS = 1000
_SILENT_FETCHES = 20


async def last_values(options: KafkaOptions, topic: str) -> dict[bytes, bytes]:
    """Last committed value of each key.

    Raises:
        SetupError: nothing came for 20 s although there is more.
    """
    async with LogAdmin(options) as admin:
        starts = dict.fromkeys(await admin.end_offsets([topic]), 0)
    found = {record.key: record.value async for record in records_between(options, starts) if record.key}
    return {key: value for key, value in found.items() if value and not key.startswith(RESERVED_KEY_PREFIX)}


async def records_between(options: KafkaOptions, starts: Mapping[tuple[str, int], int]) -> AsyncIterator[Any]:
    """Yield committed records from these offsets of partitions to where those end now, each partition's in order.

    Raises:
        SetupError: nothing came for 20 s although there is more.
    """
    async with LogAdmin(options) as admin:
        ends = await admin.end_offsets({topic for topic, _ in starts})
    partitions = {TopicPartition(*place): end for place, end in ends.items()}
    consumer = AIOKafkaConsumer(
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES,
        **options.client_kwargs(),
    )
    await consumer.start()
    try:
        consumer.assign(list(partitions))
        for place in partitions:
            consumer.seek(place, starts[place.topic, place.partition])
        silent = 0
        while any([await consumer.position(place) < end for place, end in partitions.items()]):
            fetched = await consumer.getmany(timeout_ms=_TIMEOUT_MS)
            silent = 0 if fetched else silent + 1
            if silent > _SILENT_FETCHES:
                message = f"{', '.join(sorted({topic for topic, _ in starts}))} can't be read to the end"
                raise SetupError(message)
            for records in fetched.values():
                for record in records:
                    yield record
    finally:
        await consumer.stop()


async def compared(
    options: KafkaOptions, starts: Mapping[tuple[str, int], int], wanted: Iterable[tuple[str, bytes, bytes]]
) -> tuple[int, int]:
    """How many records are missing after these offsets, and how many are there again or should not be there.

    Args:
        options: Where Kafka is.
        starts: Where to begin in each partition.
        wanted: Topic, key and value of each record, no two alike.

    Raises:
        SetupError: Kafka does not give them.
    """
    missing, more = set(wanted), 0
    async for record in records_between(options, starts):
        found = record.topic, record.key, record.value
        if found in missing:
            missing.remove(found)
        else:
            more += 1
    return len(missing), more


def wrong_twins(
    values: dict[bytes, bytes], unpack: Unpack, keys: Sequence[bytes], expected: NDArray[np.float64]
) -> int:
    """How many twins are missing or have another state than expected, by more than a part in 10⁹.

    Args:
        values: Last value of each key of a changelog; what follows a `|` in a key is not of the twin's id.
        unpack: Reads values.
        keys: Ids of all twins.
        expected: Their states, (twins, k).
    """
    by_id = {key.partition(b"|")[0].strip(b'"'): value for key, value in values.items()}
    there = [number for number, key in enumerate(keys) if key in by_id]
    if not there:
        return len(keys)
    kept = unpack([by_id[keys[number]] for number in there])
    same = np.isclose(kept, expected[there], rtol=_TOLERANCE, atol=_TOLERANCE).all(axis=1)
    return len(keys) - int(same.sum())


def unpack_peer(kind: str) -> Unpack:
    """How peers pack their state."""
    packed = WORK[kind].state
    columns = slice(None) if kind == "statistics" else slice(2)
    return lambda values: np.array([packed.unpack(value)[columns] for value in values], np.float64)


def unpack_engine(bundle: Bundle) -> Unpack:
    """How rows of this engine's types hold it."""
    definition = bundle.definition()
    layout = RowLayout.of(definition)

    def unpack(values: Sequence[bytes]) -> NDArray[np.float64]:
        rows = np.concatenate([layout.split(value)[0] for value in values])
        if definition.name == "statistics":
            state = rows["s_statistics"]
            return np.column_stack([rows["records"], state["mean"], state["m2"], state["average"]])
        return np.asarray(rows["s_estimation"]["x"], np.float64)

    return unpack
