"""The sinks: time series and metadata from Kafka into their stores."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from connectors.duckdb.server import series_app
from connectors.duckdb.store import DuckDBStore
from connectors.influx.store import InfluxStore
from connectors.mongo.store import MongoStore
from connectors.reconnect import first_failure
from connectors.stores import SeriesReader
from infra.http.server import listen
from infra.instance.plan import series_file
from infra.masking import without_credentials
from infra.roles.document_sink import DOCUMENTS_PATTERN, DocumentRecords
from infra.roles.patience import Patience
from infra.roles.pump import Pump, RecordSink, SinkFigures, W
from infra.roles.role import Body, Role
from infra.roles.series_sink import SERIES_PATTERN, SeriesRecords
from infra.roles.stores import documents_settings
from infra.settings import Settings
from schemas.clock import SystemClock
from streams.log.admin import LogAdmin
from streams.log.group import GroupReader
from streams.log.writer import LogWriter

SERIES_GROUP = "twinstream-sink-timeseries"
DOCUMENTS_GROUP = "twinstream-sink-metadata"
_LOOPBACK = "127.0.0.1"


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
    await role.shared_topics()
    async with LogAdmin(role.kafka) as admin:
        cluster = await admin.cluster_id()
    listener = listen(_LOOPBACK, 0)
    url = f"http://{_LOOPBACK}:{listener.getsockname()[1]}"
    async with DuckDBStore(series_file(role.settings), log_id=cluster) as store:
        await first_failure(
            _answer(store, listener),
            _pump(role, "duckdb", SERIES_GROUP, SERIES_PATTERN, SeriesRecords(store), url),
        )


async def _influx(role: Role) -> None:
    await role.shared_topics()
    url = without_credentials(role.settings.timeseries.url or "")
    async with InfluxStore(role.settings.timeseries) as store:
        await _pump(role, "influxdb", SERIES_GROUP, SERIES_PATTERN, SeriesRecords(store), url)


async def _documents(role: Role) -> None:
    await role.shared_topics()
    url = without_credentials(role.settings.metadata.url or "")
    async with MongoStore(role.settings.metadata) as store:
        await _pump(role, "mongodb", DOCUMENTS_GROUP, DOCUMENTS_PATTERN, DocumentRecords(store), url)


async def _pump(role: Role, store: str, group: str, pattern: str, sink: RecordSink[W], url: str) -> None:
    clock = SystemClock()
    patience = Patience(store, clock, lambda text: role.presence.change(detail=text))
    pump = Pump(
        sink=sink,
        patience=patience,
        figures=SinkFigures(role.metrics, store),
        clock=clock,
        stored=lambda: role.ready(url=url),
    )
    role.presence.change(detail=f"waiting for Kafka at {role.kafka.bootstrap_servers}")
    async with LogWriter(role.kafka) as writer, GroupReader(role.kafka, group=group, pattern=pattern) as reader:
        role.watch_lag(reader.lag)
        role.presence.change(detail="")
        await pump.run(reader, writer)


async def _answer(reader: SeriesReader, listener: socket.socket) -> None:
    """Answer questions about history until cancelled; closes the listener."""
    config = uvicorn.Config(
        series_app(reader),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the role."""
        yield
