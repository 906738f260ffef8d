"""The sinks between a real Kafka and the stores."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from connectors.documents import Collection
from connectors.duckdb.store import DuckDBStore
from connectors.memory.stores import MemoryDocumentStore
from connectors.metadata_sink import MetadataSink
from connectors.sink import SilentSink
from connectors.timeseries_sink import TimeseriesSink
from infra.embedded.kafka import EmbeddedKafka
from schemas.headers import LETTER
from schemas.messages import DeadLetter, TwinDocument, encode
from schemas.topics import DEADLETTER, TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.group import GroupReader
from streams.log.writer import LogWriter

pytestmark = pytest.mark.kafka

PARTITIONS = 3


@pytest_asyncio.fixture
async def options(kafka: EmbeddedKafka) -> KafkaOptions:
    return KafkaOptions(kafka.bootstrap_servers)


@pytest_asyncio.fixture
async def topics(options: KafkaOptions) -> TypeTopics:
    """Topics of a type of this test's own."""
    own = TypeTopics(f"t{uuid.uuid4().hex[:12]}")
    async with LogAdmin(options) as admin:
        await admin.ensure_topics([own.timeseries, own.metadata, own.commands, own.events], PARTITIONS)
        await admin.ensure_topics([DEADLETTER], await admin.partitions_of(DEADLETTER) or 1)
    return own


@asynccontextmanager
async def running(sink: TimeseriesSink | MetadataSink) -> AsyncIterator[None]:
    task = asyncio.create_task(sink.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(40):
        while not await condition():  # noqa: ASYNC110 - the other side is a server
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_the_file_has_every_point_once_after_a_restart_and_after_it_was_lost(
    options: KafkaOptions, topics: TypeTopics, tmp_path: Path
) -> None:
    path = tmp_path / "s.duckdb"
    written = 0

    async def write(writer: LogWriter, count: int) -> None:
        nonlocal written
        for at in range(written, written + count):
            lines = "".join(f"{topics.type},twin=t{n} f={at} {at}\n" for n in range(PARTITIONS))
            await writer.send(topics.timeseries, None, lines.encode(), partition=at % PARTITIONS)
        written += count

    async def carried(path: Path) -> list[int]:
        """Run a sink until the file has as many times as were written."""
        async with (
            DuckDBStore(path, log_id="one") as store,
            GroupReader(options, group=topics.type, topics=[topics.timeseries]) as reader,
            running(TimeseriesSink(reader, store, writer, SilentSink())),
        ):

            async def all_there() -> bool:
                return len((await store.series(topics.type, "t1", "f", None, None, 1000)).time_ns) == written

            await until(all_there)
            return (await store.series(topics.type, "t1", "f", None, None, 1000)).time_ns

    async with LogWriter(options) as writer:
        await write(writer, 50)
        assert await carried(path) == list(range(50))
        await write(writer, 50)
        assert await carried(path) == list(range(100))
        # The group has committed everything, yet the new file has nothing: its own positions count.
        await write(writer, 10)
        assert await carried(tmp_path / "new.duckdb") == list(range(110))


async def test_refused_lines_reach_the_dead_letters_and_are_committed(
    options: KafkaOptions, topics: TypeTopics, tmp_path: Path
) -> None:
    async with (
        LogWriter(options) as writer,
        DuckDBStore(tmp_path / "s.duckdb", log_id="one") as store,
        GroupReader(options, group=topics.type, topics=[topics.timeseries]) as reader,
        Follower(options, topics=[DEADLETTER]) as follower,
        running(TimeseriesSink(reader, store, writer, SilentSink())),
    ):
        block = f"{topics.type},twin=a f=1 1\n{topics.type},twin=a f=x 2\n"
        partition, offset = await (await writer.send(topics.timeseries, None, block.encode(), partition=1))
        found: list[DeadLetter] = []

        async def has_letter() -> bool:
            letters = [
                msgspec.json.decode(one.value or b"", type=DeadLetter)
                for one in await follower.read(0.2)
                if not one.header(LETTER)
            ]
            found.extend(one for one in letters if one.type == topics.type)
            return bool(found)

        await until(has_letter)
        assert [(one.reason, one.twin) for one in found] == [("sink_refused", "a")]
        assert found[0].source == f"kafka:{topics.timeseries}/{partition}/{offset}"

        async def committed() -> bool:
            async with LogAdmin(options) as admin:
                offsets = await admin.committed(topics.type, [topics.timeseries])
                return offsets.get((topics.timeseries, 1)) == 1

        await until(committed)
        assert (await store.series(topics.type, "a", "f", None, None, 10)).time_ns == [1]


async def test_twin_documents_and_their_tombstones_reach_the_document_store(
    options: KafkaOptions, topics: TypeTopics
) -> None:
    def document(name: str, revision: int) -> bytes:
        return encode(
            TwinDocument(
                id=name,
                type=topics.type,
                project="main",
                version="1",
                revision=revision,
                parameters={},
                tags={},
                definition="",
                created_ns=0,
                updated_ns=0,
                status="ok",
            )
        )

    store = MemoryDocumentStore()
    async with (
        LogWriter(options) as writer,
        GroupReader(options, group=topics.type, pattern=rf"^twinstream\.{topics.type}\.(metadata|commands)$") as reader,
        running(MetadataSink(reader, store, writer, SilentSink())),
    ):
        for name in ("a", "b"):
            for revision in (1, 2):
                await writer.send(topics.metadata, name.encode(), document(name, revision))
        await writer.send(topics.metadata, b"b", None)
        await writer.send(topics.metadata, b"c", document("c", 1))

        async def all_there() -> bool:
            page = await store.list(Collection.TWINS)
            return [(item["id"], item["revision"]) for item in page.items] == [("a", 2), ("c", 1)]

        await until(all_there)
