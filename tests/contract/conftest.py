"""The brokers that the broker contracts run over."""

import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from servers.availability import unavailable
from support.brokers import AmqpUnderTest, BrokerUnderTest, MemoryUnderTest, MqttUnderTest

from infra.embedded.mqtt import find_mosquitto
from schemas.clock import SystemClock

if TYPE_CHECKING:
    from servers.rabbitmq import RabbitMq

BROKERS = [
    "memory",
    pytest.param("mosquitto-5", marks=pytest.mark.system),
    pytest.param("mosquitto-3.1.1", marks=pytest.mark.system),
    "iotcore-5",
    "iotcore-3.1.1",
    pytest.param("rabbitmq-classic", marks=pytest.mark.system),
    pytest.param("rabbitmq-quorum", marks=pytest.mark.system),
]
# With MQTT 5 iotcore takes another port each time it starts.
RESTARTABLE = [name for name in BROKERS if name != "iotcore-5"]


@pytest.fixture(params=BROKERS)
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BrokerUnderTest]:
    """One broker that runs, with nothing in it."""
    async with _running(request, tmp_path) as under_test:
        yield under_test


@pytest.fixture(params=RESTARTABLE)
async def restartable(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BrokerUnderTest]:
    """The same of the brokers that come back at the same address."""
    async with _running(request, tmp_path) as under_test:
        yield under_test


@contextlib.asynccontextmanager
async def _running(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BrokerUnderTest]:
    kind, _, variant = request.param.partition("-")
    under_test: BrokerUnderTest
    if kind == "memory":
        under_test = MemoryUnderTest(SystemClock())
    elif kind == "rabbitmq":
        node: RabbitMq = request.getfixturevalue("rabbitmq")
        under_test = AmqpUnderTest(node.url, f"bridge-{uuid.uuid4().hex}", variant, node.control)
    else:
        if kind == "mosquitto" and find_mosquitto() is None:
            unavailable("Mosquitto", "the system package mosquitto is not installed")
        under_test = MqttUnderTest(tmp_path, kind, variant)
        await under_test.start()
    try:
        yield under_test
    finally:
        await under_test.close()
