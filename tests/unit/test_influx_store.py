"""InfluxDB at its edges: access, absence, compression."""

import asyncio
import base64
import gzip
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from connectors.influx.store import InfluxStore, batches
from connectors.settings import TimeseriesSettings
from connectors.stores import NOWHERE, Block, StoreRefusedError, StoreUnavailableError
from schemas.errors import SetupError

BLOCK = Block(NOWHERE, b"m,twin=a f=1 1\n")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def server_of(handler: Handler) -> TestServer:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    return server


async def test_a_server_that_is_away_is_unavailable_and_no_error_at_the_start() -> None:
    async with InfluxStore(TimeseriesSettings(url="http://127.0.0.1:1")) as store:
        with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1"):
            await store.write([BLOCK])
        with pytest.raises(StoreUnavailableError):
            await store.series("m", "a", "f", None, None, 1)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_in_trouble_is_unavailable(status: int) -> None:
    async def trouble(_: web.Request) -> web.StreamResponse:
        return web.json_response({"code": "x", "message": "later"}, status=status)

    server = await server_of(trouble)
    async with InfluxStore(TimeseriesSettings(url=str(server.make_url("")))) as store:
        with pytest.raises(StoreUnavailableError, match="later"):
            await store.write([BLOCK])
    await server.close()


@pytest.mark.parametrize(("wish", "retry_after_s"), [("7", 7.0), ("", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0)])
async def test_how_long_a_throttled_server_asks_to_be_left_alone_is_told(wish: str, retry_after_s: float) -> None:
    async def throttled(_: web.Request) -> web.StreamResponse:
        return web.json_response({"message": "limit reached"}, status=429, headers={"Retry-After": wish})

    server = await server_of(throttled)
    async with InfluxStore(TimeseriesSettings(url=str(server.make_url("")))) as store:
        with pytest.raises(StoreUnavailableError, match="limit reached") as caught:
            await store.write([BLOCK])
    await server.close()
    assert caught.value.retry_after_s == retry_after_s


async def test_a_server_that_signs_in_without_a_session_is_unavailable_and_says_what_needs_none() -> None:
    async def without_cookie(_: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    server = await server_of(without_cookie)
    settings = TimeseriesSettings.model_validate(
        {"url": str(server.make_url("")), "username": "hall", "password": "secret"}
    )
    async with InfluxStore(settings) as store:
        with pytest.raises(StoreUnavailableError, match=r"no session cookie.*timeseries\.token"):
            await store.write([BLOCK])
    await server.close()


@pytest.mark.parametrize("how", ["silent", "half"])
async def test_a_server_that_answers_not_at_all_or_by_halves_is_unavailable(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.influx.client._TIMEOUT_S", 0.2)

    async def hurt(request: web.Request) -> web.StreamResponse:
        await request.read()
        if how == "silent":
            await asyncio.sleep(1.0)
        response = web.StreamResponse(status=500, headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"message": "no space le')
        assert request.transport is not None
        request.transport.abort()
        return response

    server = await server_of(hurt)
    async with InfluxStore(TimeseriesSettings(url=str(server.make_url("")))) as store:
        with pytest.raises(StoreUnavailableError):
            await store.write([BLOCK])
    await server.close()


@pytest.mark.parametrize("status", [400, 401, 422, 500, 503])
@pytest.mark.parametrize("access", ["token", "keys", "url"])
async def test_a_server_that_repeats_what_it_was_shown_gives_nothing_away(status: int, access: str) -> None:
    async def repeat(request: web.Request) -> web.StreamResponse:
        if not await request.read() and status != 401 and access == "token":
            return web.Response(status=204)
        return web.json_response({"message": f"{request.headers['authorization']} {'x' * 9000}"}, status=status)

    server = await server_of(repeat)
    url = str(server.make_url(""))
    keys: dict[str, Any] = {
        "token": {"url": url, "token": "pl4nted"},
        "keys": {"url": url, "username": "hall", "password": "pl4nted"},
        "url": {"url": url.replace("://", "://hall:pl4nted@")},
    }[access]
    async with InfluxStore(TimeseriesSettings.model_validate(keys)) as store:
        with pytest.raises((StoreUnavailableError, StoreRefusedError, SetupError)) as caught:
            await store.write([BLOCK])
        with pytest.raises(StoreUnavailableError) as asked:
            await store.series("m", "a", "f", None, None, 1)
    for error in (caught.value, asked.value):
        text = repr(error) + repr(vars(error))
        assert "pl4nted" not in text
        assert base64.b64encode(b"hall:pl4nted").decode() not in text
        assert len(text) < 2000
    await server.close()


async def test_large_posts_are_compressed_and_small_ones_are_not() -> None:
    bodies: list[bytes] = []
    encodings: list[str | None] = []

    async def take(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        encodings.append(request.headers.get("content-encoding"))
        bodies.append(body)
        return web.Response(status=204)

    server = await server_of(take)
    large = Block(NOWHERE, BLOCK.lines * 10_000)
    async with InfluxStore(TimeseriesSettings(url=str(server.make_url("")))) as store:
        await store.write([BLOCK])
        await store.write([large])
    await server.close()
    assert encodings == [None, None, "gzip"]
    # aiohttp's server has already decompressed what it hands out.
    assert bodies[1] == BLOCK.lines.strip()
    assert (gzip.decompress(bodies[2]) if bodies[2][:2] == b"\x1f\x8b" else bodies[2]) == large.lines.strip()


def test_batches_hold_neighbours_up_to_a_size() -> None:
    blocks = [Block(NOWHERE, b"x" * size) for size in (5, 5, 1, 20, 3)]
    assert [[len(block.lines) for block in batch] for batch in batches(blocks, 10)] == [[5, 5], [1], [20], [3]]
    assert list(batches([], 10)) == []


@pytest.mark.system
async def test_the_bucket_is_made_when_it_is_absent_and_again_when_it_was_deleted(influxdb: Any) -> None:
    name = f"test-{uuid.uuid4().hex}"
    own = TimeseriesSettings(url=influxdb.url, token=influxdb.token, org=influxdb.org, bucket=name)
    async with InfluxStore(own) as store:
        with pytest.raises(StoreUnavailableError):
            await store.series("m", "a", "f", None, None, 1)
        await store.write([BLOCK])
        assert (await store.series("m", "a", "f", None, None, 1)).value == [1.0]
        await delete_bucket(own)
        with pytest.raises(StoreUnavailableError, match="not found"):
            await store.write([BLOCK])
        await store.write([BLOCK])
        assert (await store.series("m", "a", "f", None, None, 1)).value == [1.0]


@pytest.mark.system
async def test_wrong_access_is_a_setup_error_that_says_what_to_do(influxdb: Any) -> None:
    for wrong, remedy in (({"token": "wrong-token"}, "timeseries.token"), ({"org": "nobody"}, "timeseries.org")):
        fine = {"url": influxdb.url, "token": influxdb.token, "org": influxdb.org, "bucket": f"test-{uuid.uuid4().hex}"}
        async with InfluxStore(TimeseriesSettings.model_validate(fine | wrong)) as store:
            with pytest.raises(SetupError, match=remedy) as caught:
                await store.write([BLOCK])
            assert "wrong-token" not in str(caught.value)


async def delete_bucket(own: TimeseriesSettings) -> None:
    from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync  # noqa: PLC0415
    from influxdb_client.service.buckets_service import BucketsService  # noqa: PLC0415

    async with InfluxDBClientAsync(own.shown_url, token=own.token.get_secret_value(), org=own.org) as client:
        service = BucketsService(client.api_client)
        found = await service.get_buckets_async(name=own.bucket)
        await service.delete_buckets_id_async(found.buckets[0].id)
