"""A wire that can be hurt: a TCP proxy on the loopback address."""

import asyncio
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 64 * 1024


class Proxy:
    """Passes connections on to a port, while entered.

    Args:
        target: The port, when a connection is made; a server may come back at another one.
        port: Where it listens; 0 is any free one, which `port` then tells.

    Attributes:
        broken: Connections that were cut.
        held_bytes: That stood still, or crawled.
    """

    def __init__(self, target: int = 0, port: int = 0) -> None:
        self.target, self.port = target, port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._bytes_per_s = 0.0
        self.broken = self.held_bytes = 0

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._passed_on, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.resume()
        while self._connections:
            self.cut()
            await asyncio.wait(self._connections, timeout=1)

    def cut(self) -> None:
        """Break every connection with a reset; new ones are passed on."""
        self.broken += self.connections
        for writer in self._writers:
            writer.transport.abort()

    def stall(self) -> None:
        """Half-open from now on: connections stay and are taken, and not one byte moves."""
        self._flowing.clear()

    def slow(self, bytes_per_s: float) -> None:
        """Let each direction of each connection have no more than this."""
        self._bytes_per_s = bytes_per_s

    def resume(self) -> None:
        """As it was."""
        self._bytes_per_s = 0.0
        self._flowing.set()

    async def _passed_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
        else:
            self._writers.add(back)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
            self._writers.discard(back)
        finally:
            self._writers.discard(writer)
            self._connections.discard(connection)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if self._bytes_per_s or not self._flowing.is_set():
                    self.held_bytes += len(data)
                await self._flowing.wait()
                if self._bytes_per_s:
                    await asyncio.sleep(len(data) / self._bytes_per_s)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # an end of it broke: so does the other
        writer.close()
