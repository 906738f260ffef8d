from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from support.console import desk_over
from support.http_api import BASE_URL, Api

from infra.console.mounting import opened
from infra.http.app import create_app


@asynccontextmanager
async def console() -> AsyncIterator[FastAPI]:
    api = Api()
    api.change(hosts=frozenset({"twins.example"}))
    api.row("a")
    app = create_app(api.services)
    async with opened(app, desk_over(api.services)):
        yield app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with console() as app:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
            yield client


async def test_the_console_is_served_beside_the_api(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (await client.get("/api/twins")).json()["items"][0]["id"] == "a"
    for path in ("/twins/box/a", "/types", "/types/box", "/deadletters", "/system", "/try", "/try?type=box&id=a"):
        assert (await client.get(path)).status_code == 200, path
    for path in ("/twins/box/none", "/types/none"):
        assert (await client.get(path)).status_code == 404, path


async def test_what_is_no_page_is_answered_by_the_api(client: httpx.AsyncClient) -> None:
    for path in ("/api/none", "/nothing", "/_niceguiX"):
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path
    assert (await client.post("/", json={})).status_code in {404, 405}
    assert (await client.post("/_nicegui/upload", json={})).headers["content-type"] == "application/problem+json"


async def test_a_page_loads_nothing_from_another_host_and_can_t_be_framed(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-frame-options"] == "DENY"


async def test_a_page_of_another_host_name_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get("/", headers={"host": "evil.example"})).status_code == 400


@pytest.mark.parametrize(
    ("origin", "host", "let_in"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        (None, "127.0.0.1:8080", True),
        ("http://twins.example", "twins.example", True),
        ("http://evil.example", "127.0.0.1:8080", False),
        ("http://127.0.0.1:8081", "127.0.0.1:8080", False),
        ("null", "127.0.0.1:8080", False),
        ("http://evil.example", "evil.example", False),
    ],
)
async def test_only_our_own_pages_open_the_socket(origin: str | None, host: str, *, let_in: bool) -> None:
    sent = await _handshake(origin, host)
    assert (sent[0]["type"] == "websocket.accept") is let_in
    if not let_in:
        assert sent == [{"type": "websocket.close", "code": 1008}]


async def _handshake(origin: str | None, host: str) -> list[dict[str, Any]]:
    upgrade = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")]
    headers = [(b"host", host.encode()), *upgrade, *([(b"origin", origin.encode())] if origin else [])]
    scope = {
        "type": "websocket",
        "scheme": "ws",
        "path": "/_nicegui_ws/socket.io/",
        "raw_path": b"/_nicegui_ws/socket.io/",
        "query_string": b"EIO=4&transport=websocket",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
        "subprotocols": [],
        "extensions": {},
    }
    sent: list[dict[str, Any]] = []
    came = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> Any:
        return came.pop(0) if len(came) > 1 else came[0]

    async def send(message: Any) -> None:
        sent.append(message)

    async with console() as app:
        await app(scope, receive, send)
    return sent
