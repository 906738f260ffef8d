"""What a browser has open ends with its session: real sockets to the server that the role runs."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from support.console import desk_over
from support.http_api import Api
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from infra.console.mounting import opened
from infra.http.app import create_app
from infra.http.server import listen, serve

SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
AT_ONCE_S = 1.3
"""A second is promised; the rest is for the way there."""


@dataclass
class Served:
    """The API on a port."""

    api: Api
    url: str

    @asynccontextmanager
    async def browser(self, token: str) -> AsyncIterator[httpx.AsyncClient]:
        """Logged in."""
        async with httpx.AsyncClient(base_url=self.url, headers={"origin": self.url}, timeout=10) as client:
            assert (await client.post("/api/session", json={"token": token})).status_code == 200
            yield client

    def socket(self, browser: httpx.AsyncClient) -> connect:
        """The console's websocket of this browser."""
        cookie = f"twinstream_session={browser.cookies['twinstream_session']}"
        headers = {"origin": self.url, "cookie": cookie}
        # The console pings every 25 s at the earliest: what ends here was ended by us.
        return connect(self.url.replace("http", "ws", 1) + SOCKET, additional_headers=headers, ping_interval=None)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    api = Api()
    api.require_tokens()
    app = create_app(api.services)
    listener = listen("127.0.0.1", 0)
    stop = asyncio.Event()
    async with opened(app, desk_over(api.services)), asyncio.TaskGroup() as group:
        group.create_task(serve(app, api.feed, listener, stop))
        yield Served(api, f"http://127.0.0.1:{listener.getsockname()[1]}")
        stop.set()


def shown(api: Api) -> tuple[str, str]:
    """A new token, and its id."""
    secret = api.token("read")["authorization"].removeprefix("Bearer ")
    return secret, secret.split("_")[1]


async def ended(socket: ClientConnection) -> int | None:
    """Code with which it is closed, soon."""
    async with asyncio.timeout(AT_ONCE_S):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


async def lives(socket: ClientConnection) -> bool:
    """Whether the server answers a ping of the transport."""
    async with asyncio.timeout(AT_ONCE_S):
        await (await socket.ping())
    return True


async def test_logging_out_ends_the_websockets_of_that_session_and_no_other(served: Served) -> None:
    token, _ = shown(served.api)
    async with (
        served.browser(token) as browser,
        served.browser(token) as other,
        served.socket(browser) as one,
        served.socket(browser) as two,
        served.socket(other) as kept,
    ):
        for socket in (one, two, kept):
            assert str(await socket.recv()).startswith("0{")
        assert (await browser.delete("/api/session")).status_code == 204
        assert [await ended(one), await ended(two)] == [1008, 1008]
        await asyncio.sleep(AT_ONCE_S)
        assert await lives(kept)


async def test_logging_out_ends_the_event_streams_of_that_session(served: Served) -> None:
    token, _ = shown(served.api)
    async with served.browser(token) as browser, browser.stream("GET", "/api/stream") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        assert (await browser.delete("/api/session")).status_code == 204
        async with asyncio.timeout(AT_ONCE_S):
            told = [line async for line in lines]
    assert any("good no longer" in line for line in told)


async def test_revoking_a_token_ends_what_its_sessions_have_open(served: Served) -> None:
    token, token_id = shown(served.api)
    admin = served.api.token("admin")
    async with served.browser(token) as browser, served.socket(browser) as socket:
        assert str(await socket.recv()).startswith("0{")
        async with httpx.AsyncClient(base_url=served.url, headers=admin) as client:
            assert (await client.delete(f"/api/tokens/{token_id}")).status_code == 200
        revoked_s = time.monotonic()
        assert await ended(socket) == 1008
        assert time.monotonic() - revoked_s < AT_ONCE_S


async def test_a_session_whose_time_is_over_ends_what_it_has_open(served: Served) -> None:
    token, _ = shown(served.api)
    async with served.browser(token) as browser, served.socket(browser) as socket:
        assert str(await socket.recv()).startswith("0{")
        served.api.clock.advance(served.api.services.session_s)
        assert await ended(socket) == 1008
