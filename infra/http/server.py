"""Serving the application: uvicorn on a socket of ours, stopped by an event."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from infra.http.feed import Feed
from schemas.errors import SetupError

_STOP_TIMEOUT_S = 3


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one.

    Raises:
        SetupError: the port or the address can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        message = (
            f"port {port} on {host} for HTTP can't be had ({error.strerror}):"
            " choose another --http-port or http.port (0 = any free one)"
        )
        raise SetupError(message) from None


async def serve(app: FastAPI, feed: Feed, listener: socket.socket, stop: asyncio.Event) -> None:
    """Answer on `listener`, which is closed in the end, until `stop` is set; signals are the caller's business."""
    server = _Server(app, feed)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """Ends the event streams before it waits for connections to end."""

    def __init__(self, app: FastAPI, feed: Feed) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                http="h11",
                ws="websockets-sansio",  # the console's
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=_STOP_TIMEOUT_S,
            )
        )
        self._feed = feed

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._feed.close()
        await super().shutdown(sockets)
