"""Every inlet: in order, kept until acknowledged, delivered again on the next connection."""

import asyncio

import pytest
from support.brokers import BrokerUnderTest, Messages

from connectors.ports import BrokerAwayError, Delivery, Inlet
from schemas.clock import SystemClock

TOPIC = "twins/incubator/inc-1/telemetry"
_TIMEOUT_S = 20.0


async def take(inlet: Inlet, wanted: int) -> list[Delivery]:
    taken: list[Delivery] = []
    async with asyncio.timeout(_TIMEOUT_S):
        while len(taken) < wanted:
            taken += await inlet.receive()
    return taken


async def nothing_comes(inlet: Inlet, for_s: float = 0.5) -> bool:
    try:
        async with asyncio.timeout(for_s):
            await inlet.receive()
    except TimeoutError:
        return True
    return False


async def settled() -> None:
    """Let the broker read what the last connection sent; a new one at once makes it drop the rest of the old one."""
    await asyncio.sleep(0.3)


def numbered(first: int, last: int) -> Messages:
    return [(TOPIC, b'{"seq": %d}' % number) for number in range(first, last)]


def payloads(taken: list[Delivery]) -> list[bytes]:
    return [delivery.payload for delivery in taken]


async def test_delivery_carries_payload_source_and_arrival(broker: BrokerUnderTest) -> None:
    before_ns = SystemClock().now_ns()
    async with broker.connector(SystemClock()).inlet() as inlet:
        await broker.publish([(TOPIC, b"\x00\xff")])
        (delivery,) = await take(inlet, 1)
        assert delivery.payload == b"\x00\xff"
        assert delivery.source == broker.source(TOPIC)
        assert before_ns <= delivery.received_ns <= SystemClock().now_ns()
        await inlet.acknowledge(delivery)


async def test_acknowledged_never_comes_again(broker: BrokerUnderTest) -> None:
    connector = broker.connector(SystemClock())
    async with connector.inlet() as inlet:
        await broker.publish(numbered(0, 3))
        taken = await take(inlet, 3)
        await inlet.acknowledge(taken[-1])
    await settled()
    async with connector.inlet() as inlet:
        assert await nothing_comes(inlet)


async def test_unacknowledged_comes_again_in_order(broker: BrokerUnderTest) -> None:
    connector = broker.connector(SystemClock())
    async with connector.inlet() as inlet:
        await broker.publish(numbered(0, 20))
        await inlet.acknowledge((await take(inlet, 20))[6])
    await settled()
    async with connector.inlet() as inlet:
        taken = await take(inlet, 13)
        assert payloads(taken) == [payload for _, payload in numbered(7, 20)]
        await inlet.acknowledge(taken[-1])


async def test_order_of_arrival_is_kept(broker: BrokerUnderTest) -> None:
    async with broker.connector(SystemClock()).inlet() as inlet:
        await broker.publish(numbered(0, 500))
        taken: list[Delivery] = []
        while len(taken) < 500:
            taken += await take(inlet, 1)
            await inlet.acknowledge(taken[-1])
        assert payloads(taken) == [payload for _, payload in numbered(0, 500)]


async def test_messages_wait_while_no_inlet_is_connected(broker: BrokerUnderTest) -> None:
    connector = broker.connector(SystemClock())
    async with connector.inlet():
        pass
    await broker.publish(numbered(0, 50))
    async with connector.inlet() as inlet:
        taken = await take(inlet, 50)
        assert payloads(taken) == [payload for _, payload in numbered(0, 50)]
        await inlet.acknowledge(taken[-1])


async def test_broker_stops_at_the_limit_of_unacknowledged_messages(broker: BrokerUnderTest) -> None:
    async with broker.connector(SystemClock(), in_flight=10).inlet() as inlet:
        await broker.publish(numbered(0, 50))
        taken = await take(inlet, 10)
        if broker.counts_in_flight:
            assert len(taken) == 10
            assert await nothing_comes(inlet)
        while len(taken) < 50:
            await inlet.acknowledge(taken[-1])
            taken += await take(inlet, 1)
        await inlet.acknowledge(taken[-1])
        assert payloads(taken) == [payload for _, payload in numbered(0, 50)]


async def test_unacknowledged_survives_a_restart_of_the_broker(restartable: BrokerUnderTest) -> None:
    connector = restartable.connector(SystemClock())
    async with connector.inlet() as inlet:
        await restartable.publish(numbered(0, 5))
        taken = await take(inlet, 5)
        await inlet.acknowledge(taken[1])
        await asyncio.sleep(0.2)
        await restartable.stop()
        with pytest.raises(BrokerAwayError):
            await take(inlet, 1)
        await inlet.acknowledge(taken[-1])  # on a connection that is gone: does nothing
    with pytest.raises(BrokerAwayError):
        await connector.inlet().__aenter__()
    await restartable.start()
    async with restartable.connector(SystemClock()).inlet() as inlet:
        if restartable.sessions_survive_restart:
            taken = await take(inlet, 3)
            assert payloads(taken) == [payload for _, payload in numbered(2, 5)]
        await restartable.publish(numbered(5, 6))
        taken = await take(inlet, 1)
        assert payloads(taken)[-1] == b'{"seq": 5}'
        await inlet.acknowledge(taken[-1])


async def test_leaving_is_quick_when_the_inlet_is_full(broker: BrokerUnderTest) -> None:
    connector = broker.connector(SystemClock(), in_flight=5)
    async with connector.inlet() as inlet:
        await broker.publish(numbered(0, 200))
        await asyncio.sleep(0.3)
        async with asyncio.timeout(5.0):
            await inlet.__aexit__(None, None, None)
    received: list[Delivery] = []
    async with connector.inlet() as inlet:
        while len(received) < 200:
            received += await take(inlet, 1)
            await inlet.acknowledge(received[-1])
    assert payloads(received) == [payload for _, payload in numbered(0, 200)]
