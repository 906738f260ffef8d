"""The load generator: its packets, what it sends, and at which rate."""

import asyncio
import json
import struct
from pathlib import Path

import pytest

from infra.bench.job import Finished, read_report
from infra.bench.mqtt_load import Load, connect, messages_of, publish, run


class Broker(asyncio.Protocol):
    """Accepts everybody and acknowledges everything."""

    def __init__(self, got: list[tuple[str, bytes]], places: set[tuple[str, int]] | None = None) -> None:
        self._got, self._places = got, set() if places is None else places
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) > 2:
            size, head = self._buffer[1], 2
            if size & 128:
                size, head = (size & 127) + (self._buffer[2] << 7), 3
            if len(self._buffer) < head + size:
                return
            kind, body = self._buffer[0], self._buffer[head : head + size]
            self._buffer = self._buffer[head + size :]
            if kind == 0x10:
                self._transport.write(b"\x20\x02\x00\x00")
            elif kind == 0x32:
                length = struct.unpack_from(">H", body)[0]
                topic, packet_id, payload = body[2 : 2 + length], body[2 + length : 4 + length], body[4 + length :]
                self._got.append((topic.decode(), payload))
                self._places.add((topic.decode(), id(self)))
                self._transport.write(b"\x40\x02" + packet_id)


async def published(load: Load) -> tuple[list[tuple[str, bytes]], Finished]:
    got: list[tuple[str, bytes]] = []
    server = await asyncio.get_running_loop().create_server(lambda: Broker(got), "127.0.0.1", load.port)
    async with server:
        await asyncio.wait_for(run(load), 20)
    *_, finished = read_report(Path(load.report))
    assert isinstance(finished, Finished)
    return got, finished


def test_packets_are_those_of_mqtt_3_1_1() -> None:
    assert publish(b"a/b", b"xyz", 258) == b"\x32\x0a\x00\x03a/b\x01\x02xyz"
    assert publish(b"t", b"x" * 200, 1)[:3] == bytes([0x32, 205 & 127 | 128, 1])
    assert connect("me") == b"\x10\x0e\x00\x04MQTT\x04\x02\x02\x58\x00\x02me"


async def test_every_message_is_sent_once_over_all_connections(tmp_path: Path, unused_tcp_port: int) -> None:
    load = Load(
        "127.0.0.1", unused_tcp_port, str(tmp_path / "report"), 3000, 100, ["a", "b"], connections=3, window=250
    )
    got, finished = await published(load)
    assert finished.records == 3000
    assert sorted(got) == sorted((topic.decode(), payload) for topic, payload in messages_of(load))
    assert {topic.split("/")[1] for topic, _ in got} == {"a", "b"}


async def test_live_messages_keep_to_the_rate_and_say_when_they_were_sent(tmp_path: Path, unused_tcp_port: int) -> None:
    load = Load("127.0.0.1", unused_tcp_port, str(tmp_path / "report"), 400, 10, ["a"], rate=1000.0, live=True)
    got, finished = await published(load)
    assert finished.seconds > 0.35, "sooner would be faster than asked; later a busy machine"
    times = [json.loads(payload)["time"] for _, payload in got]
    assert max(times) - min(times) > 0.3e9


@pytest.mark.parametrize("live", [False, True])
async def test_no_message_of_a_twin_can_overtake_another(tmp_path: Path, unused_tcp_port: int, *, live: bool) -> None:
    got: list[tuple[str, bytes]] = []
    places: set[tuple[str, int]] = set()
    server = await asyncio.get_running_loop().create_server(lambda: Broker(got, places), "127.0.0.1", unused_tcp_port)
    load = Load("127.0.0.1", unused_tcp_port, str(tmp_path / "report"), 900, 30, ["a"], rate=3000.0, live=live)
    async with server:
        await asyncio.wait_for(run(load), 20)
    assert len(places) == 30, "each has one connection"
    assert len({connection for _, connection in places}) == 4
    for topic in {topic for topic, _ in got}:
        numbers = [json.loads(payload)["seq"] for name, payload in got if name == topic]
        assert numbers == sorted(numbers)


class Leaving(asyncio.Protocol):
    """Accepts a client and hangs up at its first message."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data[0] == 0x10:
            self._transport.write(b"\x20\x02\x00\x00")
        else:
            self._transport.abort()


async def test_a_broker_that_hangs_up_ends_the_load(tmp_path: Path, unused_tcp_port: int) -> None:
    load = Load("127.0.0.1", unused_tcp_port, str(tmp_path / "report"), 3000, 100, ["a"], connections=2, window=250)
    server = await asyncio.get_running_loop().create_server(Leaving, "127.0.0.1", load.port)
    async with server:
        with pytest.raises(ConnectionError, match="hung up"):
            await asyncio.wait_for(run(load), 20)
