"""The API: live state, history and requests over HTTP."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Self

import structlog

from connectors.duckdb.remote import RemoteSeriesReader
from connectors.influx.store import InfluxStore
from connectors.mongo.store import MongoStore
from connectors.reconnect import first_failure
from connectors.series import Buckets, Series, SeriesReader
from connectors.stores import StoreUnavailableError
from infra.access import local
from infra.access.listening import check_listening
from infra.console.backend import open_desk
from infra.console.mounting import opened as console_opened
from infra.grafana.provisioning import Provisioning
from infra.http.app import create_app
from infra.http.backend import open_services
from infra.http.models import KafkaAddress
from infra.http.server import listen
from infra.http.server import serve as serve_http
from infra.http.services import Services
from infra.instance.plan import brokers_of
from infra.registry import Registry
from infra.roles.role import Role
from infra.roles.stores import documents_settings
from infra.scraping import record_counters
from infra.settings import HttpSettings, KafkaSettings
from infra.status import status_of

log = structlog.get_logger(__name__)

NAME = "api"
LETTERS_FILE = "deadletters.sqlite"
ACCOUNT_FILE = "account.json"
ANSWERS_FILE = "answers.sqlite"
SERIES_ROLE = "sink:timeseries"
_BOARDS_LOOK_S = 1.0


async def serve(role: Role) -> None:
    """Serve until cancelled; it is there at once, also while Kafka or a store is away."""
    settings = role.settings
    check_listening(settings)

    async def missing() -> Mapping[str, str]:
        found = await asyncio.to_thread(role.registry.unready)
        # The one who answers is up; what it still reads it knows better itself.
        return {name: what for name, what in found.items() if name != NAME}

    async with AsyncExitStack() as stack:
        listener = listen(settings.http.host, settings.http.port)
        stack.callback(listener.close)
        local_secret = local.publish(settings.data_dir)
        stack.callback(local.withdraw, settings.data_dir, local_secret)
        port: int = listener.getsockname()[1]
        documents = await stack.enter_async_context(MongoStore(documents_settings(settings)))
        series: SeriesReader
        if settings.timeseries.embedded:
            series = await stack.enter_async_context(NearbySeriesReader(role.registry))
        else:
            series = await stack.enter_async_context(InfluxStore(settings.timeseries))
        services = await stack.enter_async_context(
            open_services(
                role.kafka,
                series=series,
                documents=documents,
                kafka=kafka_address(settings.kafka),
                probe=missing,
                status=partial(status_of, role.registry),
                worker_figures=lambda: record_counters(_worker_ports(role.registry)),
                sources=brokers_of(settings),
                auth=settings.auth,
                local_secret=local_secret,
                requests_per_s=settings.http.requests_per_s,
                hosts=host_names(settings.http),
                public=settings.http.public_origin,
                letters_file=settings.data_dir / LETTERS_FILE,
                account_file=settings.data_dir / ACCOUNT_FILE,
                answers_file=settings.data_dir / ANSWERS_FILE,
            )
        )
        app = create_app(services, role.metrics, role.tracer)
        desk = await stack.enter_async_context(open_desk(services, settings))
        await stack.enter_async_context(console_opened(app, desk))
        role.ready(url=settings.http.model_copy(update={"port": port}).url)
        await first_failure(
            serve_http(app, services.feed, listener, asyncio.Event()),
            _have_topics(role),
            _keep_boards(services, Provisioning(settings.data_dir, settings.timeseries)),
        )


async def _have_topics(role: Role) -> None:
    """Make the shared topics beside serving: Kafka may be away now."""
    await role.shared_topics()
    await asyncio.Event().wait()


async def _keep_boards(services: Services, provisioning: Provisioning) -> None:
    """Write Grafana's files anew whenever another version of a type is in force."""
    written: dict[str, str] | None = None
    told = ""
    while True:
        types = services.catalogue.types()
        hashes = {name: deployed.deployment.hash for name, deployed in types.items()}
        if hashes != written and not services.loading():
            try:
                await asyncio.to_thread(provisioning.write, [deployed.definition for deployed in types.values()])
                written, told = hashes, ""
            except OSError as error:
                if str(error) != told:
                    log.warning("boards can't be written, trying again", error=str(error))
                    told = str(error)
        await asyncio.sleep(_BOARDS_LOOK_S)


def _worker_ports(registry: Registry) -> list[int]:
    """Where the processes that step types tell their figures."""
    return [entry.port for entry in registry.read() if entry.name.startswith("worker:") and entry.port is not None]


def host_names(settings: HttpSettings) -> frozenset[str]:
    """Names that a Host header may carry besides loopback."""
    anywhere = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    return frozenset({*settings.allowed_hosts, settings.host} - anywhere)


def kafka_address(settings: KafkaSettings) -> KafkaAddress:
    """What clients are told about the log: nothing secret."""
    return KafkaAddress(
        bootstrap_servers=settings.options().bootstrap_servers,
        tls=settings.tls,
        partitions=settings.partitions,
        replication=settings.replication,
        retention_ms=settings.retention_ms,
    )


class NearbySeriesReader:
    """History from the embedded store, asked of the role beside us that owns its file, wherever it listens now."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._url = ""
        self._reader: RemoteSeriesReader | None = None
        self._stale = True
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Nothing is opened yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._stack.aclose()

    async def series(
        self, type_name: str, twin: str, field: str, start_ns: int | None, stop_ns: int | None, limit: int
    ) -> Series:
        """The oldest `limit` points between `start_ns` and `stop_ns`, both inclusive.

        Raises:
            StoreUnavailableError: the role is away or its store is.
        """
        reader = await self._current()
        try:
            return await reader.series(type_name, twin, field, start_ns, stop_ns, limit)
        except StoreUnavailableError:
            self._stale = True  # it may have been started again, on another port
            raise

    async def buckets(self, type_name: str, twin: str, field: str, start_ns: int, stop_ns: int, count: int) -> Buckets:
        """What the points come to in at most `count` stretches of equal length.

        Raises:
            StoreUnavailableError: the role is away or its store is.
        """
        reader = await self._current()
        try:
            return await reader.buckets(type_name, twin, field, start_ns, stop_ns, count)
        except StoreUnavailableError:
            self._stale = True
            raise

    async def _current(self) -> RemoteSeriesReader:
        if self._reader is not None and not self._stale:
            return self._reader
        found = await asyncio.to_thread(self._registry.find, SERIES_ROLE)
        if found is None or not found.url:
            message = f"{SERIES_ROLE}, which owns the embedded store, is not up"
            raise StoreUnavailableError(message)
        if self._reader is None or found.url != self._url:
            self._url = found.url
            self._reader = await self._stack.enter_async_context(RemoteSeriesReader(found.url))
        self._stale = False
        return self._reader
