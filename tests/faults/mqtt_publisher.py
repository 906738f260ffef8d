"""A cheap device of MQTT 3.1.1: it publishes at QoS 1, and sends again what a broker that went away did not confirm."""

import asyncio
from collections import deque

_CONNECTED = b"\x20\x02\x00\x00"
_WORD_BYTES = 4
"""Length of CONNACK and of PUBACK, the only packets that this client is ever sent."""
_PUBLISH, _AGAIN = 0x32, 0x08
_LAST_ID = 65_535
_RETRY_S = 0.2


class MqttPublisher(asyncio.Protocol):
    """One connection at a time; use `publish` and `confirmed`.

    Args:
        window: Messages that may wait for the broker's word.
    """

    def __init__(self, port: int, window: int = 2000) -> None:
        self._port, self._window = port, window
        self._unconfirmed: deque[bytearray] = deque()
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._welcome = asyncio.Event()
        self._moved = asyncio.Event()
        self._id = 0
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, however often that takes."""
        self._task = asyncio.create_task(self._connect())
        await self._welcome.wait()

    async def close(self) -> None:
        """Leave."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand one message over; waits while the window is full."""
        while len(self._unconfirmed) >= self._window:
            self._moved.clear()
            await self._moved.wait()
        self._id = self._id % _LAST_ID + 1
        body = len(topic).to_bytes(2, "big") + topic.encode() + self._id.to_bytes(2, "big") + payload
        packet = bytearray([_PUBLISH, *_length(len(body))]) + body
        self._unconfirmed.append(packet)
        if self._transport is not None and self._welcome.is_set():
            self._transport.write(packet)

    async def confirmed(self) -> None:
        """Wait until the broker has everything."""
        while self._unconfirmed:
            self._moved.clear()
            await self._moved.wait()

    async def _connect(self) -> None:
        while not self._closed:
            try:
                await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(_RETRY_S)
            else:
                return

    # -- of asyncio.Protocol -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello: a clean session, no keep-alive."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._received = transport, b""
        name = b"load-%d" % id(self)
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name
        transport.write(bytes([0x10, *_length(len(body))]) + body)

    def data_received(self, data: bytes) -> None:
        """Count confirmations, which come in the order of the messages."""
        data = self._received + data
        whole = len(data) - len(data) % _WORD_BYTES
        self._received = data[whole:]
        words = whole // _WORD_BYTES
        if words and not self._welcome.is_set():
            assert data.startswith(_CONNECTED), data[:_WORD_BYTES]
            words -= 1
            self._welcome.set()
            assert self._transport is not None
            for packet in self._unconfirmed:
                packet[0] |= _AGAIN
                self._transport.write(packet)
        for _ in range(words):
            self._unconfirmed.popleft()
        self._moved.set()

    def connection_lost(self, error: Exception | None) -> None:
        """Connect again."""
        del error
        self._transport = None
        self._welcome.clear()
        if not self._closed:
            self._task = asyncio.create_task(self._connect())


def _length(remaining: int) -> list[int]:
    """MQTT's variable length: seven bits a byte, the lowest first."""
    digits = []
    while True:
        remaining, digit = divmod(remaining, 128)
        digits.append(digit | (0x80 if remaining else 0))
        if not remaining:
            return digits
