"""What waits in a bridge is bounded in bytes too, however large each message is."""

import asyncio
import gzip
from typing import Self

import pytest
from support.brokers import until

from connectors import bridge_in, flight
from connectors.bridge_in import InboundBridge
from connectors.connector import Connector
from connectors.flight import Flight, Flying
from connectors.memory.log import MemoryLog
from connectors.patterns import MQTT
from connectors.ports import Delivery, Outlet
from connectors.routes import Routes
from schemas.clock import SystemClock


class Inlet:
    """Delivers the same packed message ten times at once, and then nothing."""

    def __init__(self) -> None:
        self.acknowledged = 0
        payload = gzip.compress(b'{"a": "%b"}' % (b"x" * 100_000))
        address = "twins/tank/t-1/telemetry"
        self._arrived = [Delivery(address, "", address, payload, 1, tag, "gzip") for tag in range(1, 11)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def receive(self) -> list[Delivery]:
        arrived, self._arrived = self._arrived, []
        if not arrived:
            await asyncio.Event().wait()
        return arrived

    async def acknowledge(self, delivery: Delivery) -> None:
        self.acknowledged = delivery.tag


def _outlet() -> Outlet:
    raise NotImplementedError


async def test_no_more_is_taken_from_a_broker_while_too_many_bytes_wait_for_kafka(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flight, "IN_FLIGHT_BYTES", 1000)
    flying = Flight(100)
    for _ in range(2):
        await asyncio.wait_for(flying.room(), 1)
        flying.add([Flying(Delivery("a", "", "mqtt:a", bytes(500), 0, 1), None, None, alone=True)])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(flying.room(), 0.01)
    flying.land()
    await asyncio.wait_for(flying.room(), 1)


async def test_packed_messages_count_as_what_they_unpack_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "IN_FLIGHT_BYTES", 400_000)
    monkeypatch.setattr(bridge_in, "_PORTION_BYTES", 200_000)
    inlet, log = Inlet(), MemoryLog()
    log.hold()
    connector = Connector("mqtt", lambda: inlet, _outlet, Routes((), MQTT, default_routes=True), (), 1000)
    bridge = InboundBridge(connector=connector, writer=log.writer, known_type=lambda _: True, clock=SystemClock())
    task = asyncio.create_task(bridge.run())
    await until(lambda: log.waiting >= 4)
    await asyncio.sleep(0.05)
    assert log.waiting == 4
    log.release()
    await until(lambda: inlet.acknowledged == 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(log.records["twinstream.tank.telemetry"]) == 10
