"""Sinks that are killed while they work: the stores have what the log has, each thing once."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.role_process import RoleProcess

from connectors.documents import Collection
from connectors.influx.store import InfluxStore
from connectors.mongo.store import MongoStore
from connectors.settings import MetadataSettings, TimeseriesSettings
from schemas.messages import TwinDocument, encode
from schemas.topics import TypeTopics
from streams.log.admin import SHARED_TOPICS, LogAdmin
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter

if TYPE_CHECKING:
    from infra.bench.servers.influxdb import InfluxDb
    from infra.bench.servers.secantus import Secantus
    from infra.embedded import EmbeddedKafka

pytestmark = [pytest.mark.kafka, pytest.mark.system, pytest.mark.slow]

PARTITIONS = 3
TWINS = 50


@pytest.fixture
def environment(own_kafka: "EmbeddedKafka") -> dict[str, str]:
    return {"TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers}


@pytest.fixture
def sinks() -> Iterator[list[RoleProcess]]:
    """Every process that a test started."""
    started: list[RoleProcess] = []
    yield started
    for one in started:
        one.end()


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - the other side is a server
            await asyncio.sleep(0.02)


async def carried_through_kills(
    admin: LogAdmin, topic: str, group: str, start: Callable[[], RoleProcess], kills: tuple[float, ...]
) -> int:
    """Run the sink until the group is at the end of the topic, killing it in mid-batch; return how often it was."""
    end = sum((await admin.end_offsets([topic])).values())

    async def share_done() -> float:
        return sum((await admin.committed(group, [topic])).values()) / end

    hit = 0
    sink = start()
    for at in kills:

        async def far_enough(at: float = at) -> bool:
            return await share_done() > at

        await until(far_enough)
        sink.kill()
        hit += await share_done() < 1.0
        sink = start()

    async def at_the_end() -> bool:
        return await share_done() >= 1.0

    await until(at_the_end)
    assert sink.stop() == 0
    return hit


async def test_a_killed_time_series_sink_leaves_every_point_of_the_log_in_influxdb_and_no_other(
    environment: dict[str, str],
    influxdb: "InfluxDb",
    sinks: list[RoleProcess],
    tmp_path: Path,
) -> None:
    own, count = TypeTopics(f"t{uuid.uuid4().hex[:12]}"), 20_000
    options = KafkaOptions(environment["TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS"])
    where = {"url": influxdb.url, "token": influxdb.token, "org": influxdb.org, "bucket": influxdb.bucket}
    environment |= {f"TWINSTREAM_TIMESERIES__{key.upper()}": value for key, value in where.items()}

    def start() -> RoleProcess:
        sinks.append(RoleProcess(["sink", "timeseries"], "sink:timeseries", tmp_path / "sink", environment))
        return sinks[-1]

    async with LogAdmin(options) as admin, LogWriter(options) as writer:
        await admin.ensure_topics(SHARED_TOPICS)
        await admin.ensure_topics([own.timeseries], PARTITIONS)
        written = []
        for at in range(count):
            line = f"{own.type},twin=t{at % TWINS} f={at} {at}\n"
            written.append(await writer.send(own.timeseries, None, line.encode(), partition=at % PARTITIONS))
        await asyncio.gather(*written)
        hit = await carried_through_kills(admin, own.timeseries, "twinstream-sink-timeseries", start, (0.05, 0.3, 0.6))
    assert hit >= 2
    async with InfluxStore(TimeseriesSettings.model_validate(where)) as store:
        for twin in range(TWINS):
            series = await store.series(own.type, f"t{twin}", "f", None, None, count)
            assert series.time_ns == list(range(twin, count, TWINS))
            assert series.value == [float(time_ns) for time_ns in series.time_ns]


async def test_a_killed_metadata_sink_leaves_every_document_at_the_last_revision_of_the_log(
    environment: dict[str, str], secantus: "Secantus", sinks: list[RoleProcess], tmp_path: Path
) -> None:
    own, count = TypeTopics(f"t{uuid.uuid4().hex[:12]}"), 6000
    options = KafkaOptions(environment["TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS"])
    where = {"url": secantus.url, "database": own.type}
    environment |= {f"TWINSTREAM_METADATA__{key.upper()}": value for key, value in where.items()}

    def start() -> RoleProcess:
        sinks.append(RoleProcess(["sink", "metadata"], "sink:metadata", tmp_path / "sink", environment))
        return sinks[-1]

    def document(at: int) -> TwinDocument:
        return TwinDocument(
            id=f"t{at % TWINS}",
            type=own.type,
            project="main",
            version="1",
            revision=at // TWINS,
            parameters={},
            tags={},
            definition="",
            created_ns=0,
            updated_ns=at,
            status="ok",
        )

    async with LogAdmin(options) as admin, LogWriter(options) as writer:
        await admin.ensure_topics(SHARED_TOPICS)
        await admin.ensure_topics([own.metadata], PARTITIONS)
        written = []
        for at in range(count):
            one = document(at)
            written.append(await writer.send(own.metadata, one.id.encode(), encode(one)))
        await asyncio.gather(*written)
        hit = await carried_through_kills(admin, own.metadata, "twinstream-sink-metadata", start, (0.05, 0.3, 0.6))
    assert hit >= 2
    async with MongoStore(MetadataSettings.model_validate(where)) as store:
        found = {item["id"]: item["updated_ns"] for item in (await store.list(Collection.TWINS, limit=1000)).items}
        assert found == {f"t{twin}": count - TWINS + twin for twin in range(TWINS)}
