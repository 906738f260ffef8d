"""Publishes telemetry over MQTT at QoS 1 in packets of its own: a client library would cost more than a bridge.

A process of its own: `python -m infra.bench.mqtt_load JOB`. Every connection is one device gateway with some of the
twins. What is sent and acknowledged, and the CPU time of it, goes to the report.
"""

import asyncio
import itertools
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import msgspec

from infra.bench.job import Stopwatch
from infra.bench.workload import Workload

_CHUNK = 200
_TICK_S = 0.005
_LOOK_S = 0.05
_PUBLISH_QOS_1 = 0x32
_PUBACK, _PUBACK_BYTES = 0x40, 4
_CONNACK_BYTES = 4
_KEEP_ALIVE_S = 600


class Load(msgspec.Struct, frozen=True):
    """What to publish.

    Attributes:
        host: Of the broker.
        port: Of its listener for MQTT 3.1.1.
        report: File to write lines to, as contestants do.
        messages: How many.
        twins: Of how many twins, in turns.
        types: Twin types, by turns; each has all the twins.
        root: First level of every topic.
        rate: Messages per second; 0 for as fast as the broker takes them.
        connections: To the broker.
        window: Messages of a connection that wait for their acknowledgement.
        live: Whether the event time is that of sending, instead of the workload's; it then says `boot`, too.
        boot: Of the devices: their counters begin anew with each load.
    """

    host: str
    port: int
    report: str
    messages: int
    twins: int
    types: list[str]
    root: str = "twins"
    rate: float = 0.0
    connections: int = 4
    window: int = 500
    live: bool = False
    boot: str = ""


def publish(topic: bytes, payload: bytes, packet_id: int) -> bytes:
    """A PUBLISH of MQTT 3.1.1 at QoS 1."""
    size = 4 + len(topic) + len(payload)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])  # noqa: PLR2004 - 7 bits each
    return b"%c%b%b%b%b%b" % (
        _PUBLISH_QOS_1,
        length,
        struct.pack(">H", len(topic)),
        topic,
        struct.pack(">H", packet_id),
        payload,
    )


def connect(client_id: str) -> bytes:
    """A CONNECT of MQTT 3.1.1 with a clean session."""
    name = client_id.encode()
    body = struct.pack(">H4sBBHH", 4, b"MQTT", 4, 2, _KEEP_ALIVE_S, len(name)) + name
    return bytes([0x10, len(body)]) + body


class Connection(asyncio.Protocol):
    """One connection; `sent` and `acknowledged` count messages."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self.sent = self.acknowledged = 0
        self.ready = asyncio.Event()
        self.lost: str = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves."""
        if not isinstance(transport, asyncio.Transport):
            message = "not a stream"
            raise TypeError(message)
        self._transport = transport
        transport.write(connect(self._client_id))

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember it."""
        self.lost = f"the broker hung up: {exc!r}"
        self.ready.set()

    def data_received(self, data: bytes) -> None:
        """Count PUBACKs; nothing else comes after the CONNACK."""
        self._received += data
        if not self.ready.is_set():
            if len(self._received) < _CONNACK_BYTES:
                return
            if self._received[3]:
                self.lost = f"refused with code {self._received[3]}"
            self._received = self._received[_CONNACK_BYTES:]
            self.ready.set()
        whole = len(self._received) // _PUBACK_BYTES
        if whole and self._received[0] != _PUBACK:
            self.lost = f"unexpected packet {self._received[:4].hex()}"
        self.acknowledged += whole
        self._received = self._received[whole * _PUBACK_BYTES :]

    def send(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Publish: topic and payload of each."""
        if self._transport is None or self.lost:
            raise ConnectionError(self.lost or "there is no connection")
        sent = self.sent
        packets = [
            publish(topic, payload, (sent + place) % 65_535 + 1) for place, (topic, payload) in enumerate(messages)
        ]
        self._transport.write(b"".join(packets))
        self.sent += len(messages)

    def close(self) -> None:
        """Say goodbye."""
        if self._transport is not None:
            self._transport.write(b"\xe0\x00")
            self._transport.close()


def messages_of(load: Load) -> Iterator[tuple[bytes, bytes]]:
    """Topics and payloads, in order."""
    for name, key, payload in Workload(load.messages, load.twins, 1).by_type(load.types):
        yield b"%b/%b/%b/telemetry" % (load.root.encode(), name.encode(), key), payload


async def run(load: Load) -> None:
    """Publish all of it, and report when the broker has acknowledged the last."""
    watch = Stopwatch(load.report)
    loop = asyncio.get_running_loop()
    connections = []
    for number in range(load.connections):
        _, connection = await loop.create_connection(
            lambda number=number: Connection(f"bench-load-{number}"),  # type: ignore[misc]
            load.host,
            load.port,
        )
        await connection.ready.wait()
        connections.append(connection)
    boot = load.boot.encode()
    # Made beforehand where the time of sending is not part of it: what is measured is publishing.
    everything = messages_of(load) if load.live else iter(list(messages_of(load)))
    watch.start()
    began_s = time.perf_counter()
    done = 0
    while done < load.messages:
        _all_there(connections)
        due = load.messages if not load.rate else round((time.perf_counter() - began_s) * load.rate)
        some = min(_CHUNK, due - done, load.messages - done)
        free = load.window - max(one.sent - one.acknowledged for one in connections)
        if some <= 0 or (free < some and not load.live):
            await asyncio.sleep(_TICK_S if some <= 0 else 0)
            watch.progress(sum(one.acknowledged for one in connections))
            continue
        parts: list[list[tuple[bytes, bytes]]] = [[] for _ in connections]
        for topic, payload in itertools.islice(everything, some):
            # A twin's messages take one connection: on two of them one could overtake another, and be late.
            parts[crc32(topic) % len(parts)].append((topic, _now(payload, boot) if load.live else payload))
        for connection, part in zip(connections, parts, strict=True):
            if part:
                connection.send(part)
        done += some
        await asyncio.sleep(0)
    while (acknowledged := sum(one.acknowledged for one in connections)) < load.messages:
        await asyncio.sleep(_LOOK_S)
        watch.progress(acknowledged)
        _all_there(connections)
    watch.finish(load.messages)
    for connection in connections:
        connection.close()


def _all_there(connections: list[Connection]) -> None:
    """See that every connection is there: the window of one that is lost would never open again.

    Raises:
        ConnectionError: one is not.
    """
    for connection in connections:
        if connection.lost:
            raise ConnectionError(connection.lost)


def _now(payload: bytes, boot: bytes) -> bytes:
    """The same payload with the time of now."""
    head, _, rest = payload.partition(b'"time":')
    return b'%b"boot":"%b","time":%d%b' % (head, boot, time.time_ns(), rest[rest.index(b",") :])


if __name__ == "__main__":
    asyncio.run(run(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Load)))
