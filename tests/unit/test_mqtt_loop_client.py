"""paho on the event loop: what it leans on that paho does not document, and what a thread gave for nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from connectors.mqtt.loop_client import LoopClient

CONNACK = b"\x20\x02\x00\x00"
SUBACK = 0x90
DISCONNECT = b"\xe0\x00"
PINGREQ = b"\xc0\x00"


class Peer:
    """The other side of the connection, which says what it is told to."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.connected = asyncio.Event()
        self.over = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        writer.write(CONNACK)
        self.connected.set()
        while data := await reader.read(4096):
            self.got += data
        writer.close()
        self.over.set()

    def publish(self, number: int, size: int = 10) -> None:
        body = b"\x00\x01t" + number.to_bytes(2, "big") + b"x" * size
        length = len(body)
        digits = bytes([length]) if length < 128 else bytes([length % 128 | 128, length // 128])
        self.writer.write(b"\x32" + digits + body)


class Session:
    """A client and its peer."""

    def __init__(self, client: LoopClient, peer: Peer, failures: list[Exception]) -> None:
        self.client, self.peer, self.failures = client, peer, failures
        self.arrived: list[int] = []
        self.gone = asyncio.Event()


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    peer = Peer()
    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    failures: list[Exception] = []
    client = LoopClient(
        failures.append,
        callback_api_version=CallbackAPIVersion.VERSION2,
        client_id="c",
        protocol=paho.MQTTv311,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    made = Session(client, peer, failures)

    def arrive(_c: object, _u: object, message: paho.MQTTMessage) -> None:
        made.arrived.append(message.mid)

    def disconnected(*_: Any) -> None:
        made.gone.set()

    client.on_message, client.on_disconnect = arrive, disconnected
    client.max_inflight_messages = 0
    await asyncio.to_thread(client.connect, "127.0.0.1", server.sockets[0].getsockname()[1], 60)
    client.attach(asyncio.get_running_loop())
    await peer.connected.wait()
    yield made
    client.cut()
    await asyncio.wait_for(peer.over.wait(), 5)
    server.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


async def test_every_packet_of_one_fetch_is_handled_also_one_that_is_cut_in_two(session: Session) -> None:
    for number in range(1, 1001):
        session.peer.publish(number, size=200)
    await until(lambda: len(session.arrived) == 1000)
    assert session.arrived == list(range(1, 1001))
    session.peer.writer.write(b"\x32\x07\x00\x01")
    await asyncio.sleep(0.05)
    session.peer.writer.write(b"t\x00\x09xx")
    await until(lambda: session.arrived[-1] == 9)


async def test_nothing_is_read_while_paused_and_what_was_fetched_comes_when_it_goes_on(session: Session) -> None:
    session.peer.publish(1)
    await until(lambda: session.arrived == [1])
    session.client.pause()
    for number in range(2, 500):
        session.peer.publish(number)
    await asyncio.sleep(0.1)
    assert session.arrived == [1]
    session.client.resume()
    await until(lambda: session.arrived == list(range(1, 500)))


async def test_a_pause_in_the_middle_of_a_fetch_holds_at_once(session: Session) -> None:
    def arrive(_c: object, _u: object, message: paho.MQTTMessage) -> None:
        session.arrived.append(message.mid)
        session.client.pause()

    session.client.on_message = arrive
    for number in range(1, 4):
        session.peer.publish(number)
    await until(lambda: session.arrived)
    await asyncio.sleep(0.05)
    assert session.arrived == [1]
    session.client.resume()
    await until(lambda: len(session.arrived) == 2)


async def test_pubacks_leave_in_one_piece_and_in_order(session: Session) -> None:
    await until(lambda: session.client.is_connected() and session.peer.got)
    session.peer.got.clear()
    session.client.acknowledge([7, 3, 65_535])
    await until(lambda: len(session.peer.got) >= 12)
    assert bytes(session.peer.got) == b"\x40\x02\x00\x07\x40\x02\x00\x03\x40\x02\xff\xff"


async def test_more_than_the_socket_takes_at_once_leaves_all_the_same(session: Session) -> None:
    await until(session.client.is_connected)
    session.peer.got.clear()
    for _ in range(40):
        session.client.publish("t", b"x" * 200_000, qos=1)
    await until(lambda: len(session.peer.got) > 40 * 200_000)


async def test_an_exception_of_a_callback_is_told_and_not_swallowed(session: Session) -> None:
    def arrive(*_: object) -> None:
        raise RuntimeError("mine")

    session.client.on_message = arrive
    session.peer.publish(1)
    await until(lambda: session.failures)
    assert [str(error) for error in session.failures] == ["mine"]


async def test_a_peer_that_goes_is_noticed_and_nothing_is_left_on_the_event_loop(session: Session) -> None:
    await until(session.client.is_connected)
    session.peer.writer.close()
    await asyncio.wait_for(session.gone.wait(), 5)
    assert session.client.socket() is None
    session.client.resume()
    session.client.acknowledge([1])
    assert session.client.loop_misc() == MQTTErrorCode.MQTT_ERR_NO_CONN


async def test_a_silent_peer_is_pinged_and_then_called_dead(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    await until(session.client.is_connected)
    later = [0.0]
    real = paho.time_func
    monkeypatch.setattr(paho, "time_func", lambda: real() + later[0])
    later[0] = 61.0
    await until(lambda: PINGREQ in session.peer.got)
    later[0] = 130.0
    await asyncio.wait_for(session.gone.wait(), 5)


async def test_good_bye_leaves_before_the_connection_is_closed(session: Session) -> None:
    await until(session.client.is_connected)
    session.client.disconnect()
    await asyncio.wait_for(session.gone.wait(), 5)
    await until(lambda: session.peer.got.endswith(DISCONNECT))
