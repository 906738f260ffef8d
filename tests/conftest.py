"""Real servers for tests: one of each kind per session, on free loopback ports, started when the first test asks.

Every fixture is a plain sync one, so that it does not matter on which event loop a test runs. A server that can't be
had skips its tests with the reason; with `CI=true` they fail.
"""

from typing import TYPE_CHECKING

import pytest
from servers.availability import unavailable
from servers.background import BackgroundLoop

from infra.embedded.kafka import EmbeddedKafka
from schemas.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def servers_loop() -> "Iterator[BackgroundLoop]":
    """The event loop that the embedded servers of the session live on."""
    with BackgroundLoop() as loop:
        yield loop


@pytest.fixture(scope="session")
def kafka(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[EmbeddedKafka]":
    """An embedded Kafka that all tests of the session share: `.bootstrap_servers`, `.pid`; give topics unique names."""
    server = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), port=0)
    try:
        servers_loop.enter(server)
    except SetupError as error:
        unavailable("Kafka", str(error))
    yield server
    servers_loop.leave(server)
