"""The sinks: time series and metadata from Kafka into their stores."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry, Counter, Gauge

from connectors import projection
from connectors.duckdb.server import answer
from connectors.duckdb.store import DuckDBStore
from connectors.influx.store import InfluxStore
from connectors.metadata_sink import MetadataSink
from connectors.mongo.store import MongoStore
from connectors.reconnect import first_failure
from connectors.series import SeriesSink
from connectors.sink import LINGER_S, Sink
from connectors.timeseries_sink import TIMESERIES_PATTERN, TimeseriesSink
from infra.http.server import listen
from infra.instance.plan import series_file
from infra.masking import without_credentials
from infra.membership import Membership
from infra.roles.role import Body, Role
from infra.roles.sink_watch import SinkWatch
from infra.roles.stores import documents_settings
from infra.settings import Settings
from schemas.clock import AnchoredClock
from schemas.messages import stable_id
from streams.log.admin import LogAdmin
from streams.log.group import GroupReader
from streams.log.retry import LONGEST_DELAY_S, is_retriable
from streams.log.writer import LogWriter

log = structlog.get_logger(__name__)

TIMESERIES_GROUP = "twinstream-sink-timeseries"
METADATA_GROUP = "twinstream-sink-metadata"
_LOOPBACK = "127.0.0.1"
_SESSION_TIMEOUT_S = 6.0
"""A sink that was killed and does not come back keeps its partitions this long: the shortest that brokers permit."""


def timeseries(settings: Settings) -> Body:
    """The time-series sink; of the embedded store it is the owner, and answers the API's questions."""
    return _embedded_series if settings.timeseries.embedded else _influx


def metadata(settings: Settings) -> Body:
    """The metadata sink.

    Raises:
        SetupError: no document server is configured.
    """
    documents_settings(settings)
    return _documents


async def _embedded_series(role: Role) -> None:
    await _kafka(role)
    async with LogAdmin(role.kafka) as admin:
        cluster = await admin.cluster_id()
    listener = listen(_LOOPBACK, 0)
    url = f"http://{_LOOPBACK}:{listener.getsockname()[1]}"
    async with DuckDBStore(series_file(role.settings), log_id=cluster) as store:
        group = group_of_file(series_file(role.settings))
        await first_failure(answer(store, listener), _series(role, store, "duckdb", url, group))


async def _influx(role: Role) -> None:
    await _kafka(role)
    async with InfluxStore(role.settings.timeseries) as store:
        url = without_credentials(role.settings.timeseries.url or "")
        await _series(role, store, "influxdb", url, TIMESERIES_GROUP)


async def _documents(role: Role) -> None:
    await _kafka(role)
    async with (
        MongoStore(role.settings.metadata) as store,
        LogWriter(role.kafka) as writer,
        _member(role, METADATA_GROUP, projection.PATTERN) as reader,
    ):
        observer = PrometheusSinkObserver(role.metrics, "mongodb", role.presence_detail)
        sink = MetadataSink(reader, store, writer, observer, role.tracer)
        await _carry(role, sink, reader, without_credentials(role.settings.metadata.url or ""), "mongodb")


def group_of_file(file: Path) -> str:
    """Consumer group of an embedded store: every file gets the whole history, two never share it."""
    return f"{TIMESERIES_GROUP}-{stable_id(str(file.resolve()))[:12]}"


async def _series(role: Role, store: SeriesSink, technology: str, url: str, group: str) -> None:
    async with LogWriter(role.kafka) as writer, _member(role, group, TIMESERIES_PATTERN) as reader:
        observer = PrometheusSinkObserver(role.metrics, technology, role.presence_detail)
        await _carry(role, TimeseriesSink(reader, store, writer, observer, role.tracer), reader, url, technology)


@contextlib.asynccontextmanager
async def _member(role: Role, group: str, pattern: str) -> AsyncIterator[GroupReader]:
    """A place in the group; after a kill the same one again."""
    with Membership(role.settings.data_dir, role.name) as membership:
        reader = GroupReader(
            role.kafka,
            group=group,
            pattern=pattern,
            session_timeout_s=_SESSION_TIMEOUT_S,
            member=membership.name,
            gather_s=LINGER_S,
        )
        async with reader:
            yield reader


async def _kafka(role: Role) -> None:
    role.presence_detail(f"waiting for Kafka at {role.kafka.bootstrap_servers}")
    await role.shared_topics()


async def _carry(role: Role, sink: Sink, reader: GroupReader, url: str, technology: str) -> None:
    watch = SinkWatch(
        role.metrics,
        technology,
        bounds=reader.bounds,
        pass_over=reader.pass_over,
        oldest_ms=lambda: sink.oldest_ms,
        retention_ms=role.settings.kafka.retention_ms or -1,
        clock=AnchoredClock(),
    )
    # What the reader knows is fresher while it reads; while the store is away it fetches nothing and knows nothing.
    role.watch_lag(lambda: max(reader.lag(), watch.lag if sink.oldest_ms is not None else 0))
    await first_failure(watch.run(), _carried(role, sink, url))


async def _carried(role: Role, sink: Sink, url: str) -> None:
    while True:
        # The group lets a new member in only when those before it have left or were given up.
        role.ready(url=url)
        try:
            await sink.run()
        except KafkaError as error:
            if not is_retriable(error):
                raise
            # What was stored and not committed is read again and changes nothing.
            log.warning("kafka failed, going on", error=repr(error))
            await asyncio.sleep(LONGEST_DELAY_S)


class PrometheusSinkObserver:
    """Counts what a sink does.

    Args:
        registry: Where the figures go.
        store: Their label `store`.
        waiting: Told what the sink waits for, `""` when for nothing.
    """

    def __init__(self, registry: CollectorRegistry, store: str, waiting: Callable[[str], None]) -> None:
        self._store = store
        self._waiting = waiting
        self._up = True

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"twinstream_sink_{name}", text, ["store", *labels], registry=registry)

        self._records = counter("stored_records", "Records of the log that are in the store.").labels(store)
        self._bytes = counter("stored_bytes", "Bytes of their values.").labels(store)
        self._refused = counter("refused", "Lines or records that became dead letters.", "type")
        text = "Whether the store answers: 1 or 0."
        self._available = Gauge("twinstream_sink_available", text, ["store"], registry=registry).labels(store)
        self._available.set(1)  # until it is found away

    def stored(self, records: int, size_bytes: int) -> None:
        """So many records are in the store."""
        self._records.inc(records)
        self._bytes.inc(size_bytes)

    def refused(self, type_name: str, refusals: int) -> None:
        """So many lines or records of a type became dead letters."""
        self._refused.labels(self._store, type_name).inc(refusals)

    def available(self, *, up: bool) -> None:
        """The store answers, or went away."""
        self._available.set(int(up))
        if up != self._up:
            self._up = up
            self._waiting("" if up else "the store is away")
