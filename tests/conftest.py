"""Real servers for tests: one of each kind per session, on free loopback ports, started when the first test asks.

Every fixture is a plain sync one, so that it does not matter on which event loop a test runs. A server that can't be
had skips its tests with the reason; with `CI=true` they fail. A test that stops or kills a server starts its own.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import structlog
from hypothesis import settings
from servers.availability import unavailable
from servers.background import BackgroundLoop
from servers.kafka import SecuredKafka
from servers.mosquitto import SecuredMosquitto
from servers.prometheus import Prometheus
from servers.rabbitmq import RabbitMq

from infra.bench.servers.influxdb import InfluxDb, find_influxd
from infra.bench.servers.rabbitmq import find_rabbitmq
from infra.bench.servers.secantus import Secantus, find_secantus
from infra.embedded import EmbeddedDocuments, EmbeddedKafka, EmbeddedMqtt, EmbeddedServer
from infra.embedded.mqtt import find_mosquitto
from schemas.errors import SetupError
from streams.log.admin import SHARED_TOPICS, LogAdmin
from streams.log.client import KafkaOptions

# How long an example takes says something about the machine and what else it does, not about what is tested.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

Server = TypeVar("Server", bound=EmbeddedServer)

_ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _own_log_lines() -> Iterator[None]:
    """Commands and roles say where log lines go; what one test says holds for no other."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def servers_loop() -> Iterator[BackgroundLoop]:
    """The event loop that the servers of the session live on."""
    with BackgroundLoop() as loop:
        yield loop


def _running(loop: BackgroundLoop, server: Server) -> Iterator[Server]:
    try:
        loop.enter(server)
    except SetupError as error:
        unavailable(server.label, str(error))
    yield server
    loop.leave(server)


async def _make_shared_topics(bootstrap_servers: str) -> None:
    async with LogAdmin(KafkaOptions(bootstrap_servers)) as admin:
        await admin.ensure_topics(SHARED_TOPICS)


@pytest.fixture(scope="session")
def kafka(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """An embedded Kafka: `.bootstrap_servers`, `.pid`; all tests share it, so give topics unique names.

    The topics that all types share are there, with the usual number of partitions.
    """
    for server in _running(servers_loop, EmbeddedKafka(tmp_path_factory.mktemp("kafka"), port=0)):
        servers_loop.run(_make_shared_topics(server.bootstrap_servers))
        yield server


@pytest.fixture(scope="module")
def own_kafka(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A Kafka for the tests of one file, for those who run all types that they find."""
    yield from _running(servers_loop, EmbeddedKafka(tmp_path_factory.mktemp("kafka"), port=0))


@pytest.fixture(scope="session")
def secured_kafka(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """Kafka with TLS and an account: `.secured_servers`, `.ca_file`, `.username`, `.password`."""
    if shutil.which("openssl") is None:
        unavailable("Kafka with TLS", "the system package openssl is not installed")
    yield from _running(servers_loop, SecuredKafka(tmp_path_factory.mktemp("kafka")))


@pytest.fixture(scope="session")
def iotcore(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMqtt]:
    """The embedded MQTT broker of machines without Mosquitto: `.url`, `.protocols`."""
    yield from _running(servers_loop, EmbeddedMqtt(tmp_path_factory.mktemp("iotcore"), 0, prefer="iotcore"))


@pytest.fixture(scope="session")
def mosquitto(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMqtt]:
    """Mosquitto without accounts: `.url`, `.protocols`."""
    if find_mosquitto() is None:
        unavailable("Mosquitto", "the system package mosquitto is not installed")
    yield from _running(servers_loop, EmbeddedMqtt(tmp_path_factory.mktemp("mosquitto"), 0, prefer="mosquitto"))


@pytest.fixture(scope="session")
def secured_mosquitto(
    servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecuredMosquitto]:
    """Mosquitto with an account and TLS: `.url`, `.tls_url`, `.ca_file`, `.username`, `.password`."""
    if find_mosquitto() is None:
        unavailable("Mosquitto", "the system package mosquitto is not installed")
    yield from _running(servers_loop, SecuredMosquitto(tmp_path_factory.mktemp("mosquitto")))


@pytest.fixture(scope="session")
def rabbitmq(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    """RabbitMQ: `.url`, `.tls_url`, `.ca_file`, `await .control("stop_app")`."""
    if find_rabbitmq() is None:
        unavailable("RabbitMQ", "the system package rabbitmq-server is not installed")
    yield from _running(servers_loop, RabbitMq(tmp_path_factory.mktemp("rabbitmq")))


@pytest.fixture(scope="session")
def influxdb(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDb]:
    """InfluxDB 2: `.url`, `.token`, `.org`, `.bucket`."""
    if find_influxd() is None:
        unavailable("InfluxDB", "not built: run scripts/build-influxd (needs Go and cargo)")
    yield from _running(servers_loop, InfluxDb(tmp_path_factory.mktemp("influxdb"), 0))


@pytest.fixture(scope="session")
def nx27017(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDocuments]:
    """The embedded document server: `.url`."""
    yield from _running(servers_loop, EmbeddedDocuments(tmp_path_factory.mktemp("nx27017")))


@pytest.fixture(scope="session")
def secantus(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secantus]:
    """SecantusDB, which stands in for MongoDB: `.url`."""
    if find_secantus() is None:
        unavailable("SecantusDB", "not installed: run scripts/servers")
    yield from _running(servers_loop, Secantus(tmp_path_factory.mktemp("secantus")))


@pytest.fixture(scope="session")
def prometheus(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus: `.url`, `.scrape(job="127.0.0.1:PORT")`, `await .query("up")`."""
    if shutil.which("prometheus") is None:
        unavailable("Prometheus", "the system package prometheus is not installed")
    yield from _running(servers_loop, Prometheus(tmp_path_factory.mktemp("prometheus"), 0))


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of the recorded incubator data; the one thing whose absence is no failure anywhere."""
    named = os.environ.get("TWINSTREAM_RECORDINGS")
    folder = Path(named) if named else _ROOT.parent / "shared" / "data" / "incubator"
    if not folder.is_dir():
        pytest.skip(f"no recordings in {folder}: name their folder in TWINSTREAM_RECORDINGS")
    return folder
