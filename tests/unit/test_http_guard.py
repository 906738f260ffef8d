import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
from support.http_api import Api

JSON = {"content-type": "application/json"}
PROBLEM = "application/problem+json"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    api = Api()
    api.change(hosts=frozenset({"twins.example"}))
    api.row("a")
    async with api.client() as client:
        yield client


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:9", "LOCALHOST", "[::1]:8080", "twins.example:80"])
async def test_a_loopback_or_configured_host_is_served(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/healthz", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.", "", "127.0.0.1:8080:1", "a@127.0.0.1", "127.0.0.1, b"],
)
async def test_another_host_is_refused_before_anything_else(client: httpx.AsyncClient, host: str) -> None:
    answer = await client.get("/healthz", headers={"host": host})
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)
    assert answer.json()["type"] == "urn:twinstream:problem:foreign-host"


async def test_two_host_headers_are_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/healthz", headers=[("host", "127.0.0.1"), ("host", "evil.example")])
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "http://127.0.0.1:9999",
        "https://127.0.0.1:8080",
        "http://localhost:8080",
        "http://127.0.0.1",
        "",
        "http://127.0.0.1:8080, http://evil.example",
    ],
)
async def test_a_foreign_origin_is_refused(client: httpx.AsyncClient, origin: str) -> None:
    headers = {"origin": origin, **JSON}
    for answer in (
        await client.get("/api/twins", headers=headers),
        await client.post("/api/twins/box/a/requests/reset", content="{}", headers=headers),
    ):
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:twinstream:problem:foreign-origin")


async def test_the_own_origin_is_served(client: httpx.AsyncClient) -> None:
    own = {"origin": "http://127.0.0.1:8080"}
    assert (await client.get("/api/twins", headers=own)).status_code == 200
    answer = await client.post("/api/twins/box/a/requests/reset", content="{}", headers=own | JSON)
    assert answer.status_code == 202


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", None])
async def test_a_write_takes_json_only(client: httpx.AsyncClient, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    for method, path in (("POST", "/api/twins/box/a/requests/reset"), ("PUT", "/api/twins/box/a")):
        answer = await client.request(method, path, content="{}", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (415, PROBLEM)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "x", "identity, gzip"])
async def test_a_compressed_body_is_refused_and_not_unpacked(client: httpx.AsyncClient, encoding: str) -> None:
    bomb = gzip.compress(b'{"a":' + b" " * 10_000_000 + b"1}")
    headers = {"content-encoding": encoding, **JSON}
    answer = await client.post("/api/twins/box/a/requests/reset", content=bomb, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (415, "urn:twinstream:problem:unsupported-media-type")
    headers["content-encoding"] = "Identity"
    plain = await client.post("/api/twins/box/a/requests/reset", content=b"{}", headers=headers)
    assert plain.status_code != 415


async def test_json_with_a_charset_is_taken(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    answer = await client.post("/api/twins/box/a/requests/reset", content="{}", headers=headers)
    assert answer.status_code == 202


async def test_a_preflight_gets_no_permission(client: httpx.AsyncClient) -> None:
    headers = {"origin": "http://evil.example", "access-control-request-method": "PUT"}
    answer = await client.options("/api/twins/box/a", headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_large_body_is_refused_by_its_declared_length(client: httpx.AsyncClient) -> None:
    answer = await client.put("/api/twins/box/a", content=b" " * 300_000, headers=JSON)
    assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)


async def test_a_large_body_without_a_length_is_refused_while_it_comes(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 10_000
            yield b" " * 10_000

    async with asyncio.timeout(5):
        answer = await client.put("/api/twins/box/a", content=endless(), headers=JSON)
    assert answer.status_code == 413
    assert sent < 400_000


async def test_every_answer_forbids_sniffing_framing_and_storing(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/nothing"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
