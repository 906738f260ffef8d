"""Servers that are stopped, killed and frozen, and come back at the same port with what they kept."""

import os
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from infra.embedded.server import EmbeddedServer

S = TypeVar("S", bound=EmbeddedServer)


class Breakable(Generic[S]):
    """One server through several lives.

    Args:
        make: Makes the server for a port; 0 is any free one.
    """

    def __init__(self, make: Callable[[int], S]) -> None:
        self._make = make
        self._life: S | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._life is not None:
            await self.kill() if error else await self.stop()

    @property
    def now(self) -> S:
        """The server in its present life."""
        assert self._life is not None, "it is down"
        return self._life

    async def start(self) -> None:
        """Return when clients can use it."""
        server = self._make(self._port)
        await server.__aenter__()
        self._life, self._port = server, server.port

    async def stop(self) -> None:
        """Cleanly."""
        server, self._life = self.now, None
        self._signal(server, signal.SIGCONT)
        await server.__aexit__(None, None, None)

    async def kill(self) -> None:
        """SIGKILL."""
        server, self._life = self.now, None
        self._signal(server, signal.SIGKILL)
        await server.ended()
        await server.__aexit__(None, None, None)

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open and nothing answers."""
        self._signal(self.now, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(self.now, signal.SIGCONT)

    def _signal(self, server: S, number: signal.Signals) -> None:
        if server.alive:
            os.kill(server.pid, number)
