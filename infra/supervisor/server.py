"""An embedded server as a child: its run file says where it is, since it writes none itself."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from infra.embedded.server import EmbeddedServer
from infra.registry import Presence, Registry
from infra.supervisor.process import how_ended


class ServerRunner:
    """One life of an embedded server.

    Args:
        name: As in `status`.
        server: Makes a server that was not entered yet, always on the same port.
        registry: Where its run file goes.
    """

    def __init__(self, name: str, server: Callable[[], EmbeddedServer], registry: Registry) -> None:
        self._name = name
        self._server = server()
        self._registry = registry
        self._presence: Presence | None = None
        self._stop: asyncio.Task[None] | None = None
        self.exit_code: int | None = None

    async def start(self) -> int:
        """Start it and wait until clients can use it."""
        await self._server.__aenter__()
        pid = self._server.pid
        self._presence = Presence(self._registry, self._name, pid=pid)
        self._presence.change(ready=True, url=self._server.url)
        return pid

    async def wait(self) -> str:
        """Wait until it has ended; says how."""
        self.exit_code = await self._server.ended()
        if self._presence is not None:
            self._presence.withdraw()
        await (self._stop or self._leave())
        return how_ended(self.exit_code)

    def stop(self) -> None:
        """Ask it to end, and let go of what belongs to it."""
        if self._stop is None and self._presence is not None:
            self._stop = asyncio.create_task(self._leave())

    def kill(self) -> None:
        """End it."""
        if self._presence is not None and self._server.alive:
            with suppress(ProcessLookupError):
                os.kill(self._server.pid, signal.SIGKILL)

    async def _leave(self) -> None:
        await self._server.__aexit__(None, None, None)
