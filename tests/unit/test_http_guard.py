import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
from support.http_api import Api

from infra.access.origin import Origin

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


@pytest.mark.parametrize("host", ["[2001:db8::1]:8080", "[2001:DB8:0:0::1]"])
async def test_a_configured_address_is_served_however_it_is_written(host: str) -> None:
    api = Api()
    api.change(hosts=frozenset({"[2001:DB8:0::1]"}))
    async with api.client() as client:
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


PUBLIC = "https://twins.example.org"


def behind(url: str) -> Api:
    """The API behind a proxy that makes it reachable there."""
    api = Api()
    api.row("a")
    api.change(public=Origin.of_url(url))
    return api


@pytest.mark.parametrize("host", ["twins.example.org", "127.0.0.1:8080", "Twins.Example.org:443"])
async def test_pages_of_the_public_url_may_write_whether_or_not_the_proxy_passes_their_host_on(host: str) -> None:
    headers = {"host": host, "origin": PUBLIC, **JSON}
    async with behind(PUBLIC).client() as client:
        answer = await client.post("/api/twins/box/a/requests/reset", content="{}", headers=headers)
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("null", "twins.example.org"),
        ("https://evil.example", "twins.example.org"),
        ("https://twins.example.org:8443", "twins.example.org"),
        ("https://twins.example.org:8443", "twins.example.org:8443"),
        ("https://a.twins.example.org", "twins.example.org"),
        # The proxy speaks plain HTTP to us: that makes no page ours that came to the browser over plain HTTP.
        ("http://twins.example.org", "twins.example.org"),
        ("http://127.0.0.1:8080", "twins.example.org"),
    ],
)
async def test_every_other_origin_stays_foreign_under_the_public_host(origin: str, host: str) -> None:
    headers = {"host": host, "origin": origin, **JSON}
    async with behind(PUBLIC).client() as client:
        for answer in (
            await client.get("/api/twins", headers=headers),
            await client.post("/api/twins/box/a/requests/reset", content="{}", headers=headers),
        ):
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:twinstream:problem:foreign-origin")


async def test_the_public_host_is_served_and_no_other_one_more() -> None:
    async with behind(PUBLIC).client() as client:
        assert (await client.get("/healthz", headers={"host": "twins.example.org"})).status_code == 200
        assert (await client.get("/healthz", headers={"host": "www.twins.example.org"})).status_code == 400
        page = await client.get("/healthz", headers={"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080"})
        assert page.status_code == 200


@pytest.mark.parametrize(
    ("url", "host", "told"),
    [
        (PUBLIC, "twins.example.org", True),
        (PUBLIC + ":443", "Twins.Example.org:443", True),
        (PUBLIC + ":8443", "twins.example.org:8443", False),
        ("http://localhost", "localhost", False),
        (PUBLIC, "localhost", False),
        (PUBLIC, "intranet.example:8080", False),
        (PUBLIC, "evil.example", False),
    ],
)
async def test_browsers_are_told_to_stay_with_https_only_where_the_whole_host_is_ours(
    url: str, host: str, *, told: bool
) -> None:
    api = behind(url)
    api.change(hosts=frozenset({"intranet.example"}))
    async with api.client() as client:
        for path in ("/healthz", "/nothing"):
            headers = (await client.get(path, headers={"host": host})).headers
            assert headers.get("strict-transport-security") == ("max-age=31536000" if told else None)


async def test_the_document_names_the_public_url() -> None:
    async with behind(PUBLIC).client() as client:
        assert (await client.get("/openapi.json")).json()["servers"] == [{"url": PUBLIC}]
    async with Api().client() as client:
        assert "servers" not in (await client.get("/openapi.json")).json()
