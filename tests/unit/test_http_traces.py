from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from support.http_api import BASE_URL, Api, MemoryWriter
from support.spans import KeptSpans

from infra.http.app import create_app
from schemas.headers import TRACEPARENT, Headers

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PATH = "/api/twins/box/a/requests/target"


class BrokenWriter(MemoryWriter):
    """Fails in a way that nobody foresaw."""

    async def write(self, topic: str, key: bytes, value: bytes, headers: Headers) -> tuple[int, int]:  # noqa: ARG002
        message = "unforeseen"
        raise RuntimeError(message)


@pytest.fixture
def api() -> Api:
    api = Api()
    api.row("a")
    return api


@asynccontextmanager
async def _told(api: Api, kept: KeptSpans) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(api.services, tracer=kept), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        yield client


async def test_the_record_of_a_request_belongs_to_its_trace(api: Api) -> None:
    async with api.client() as client:
        for headers in ({TRACEPARENT: PARENT}, {}, {TRACEPARENT: "00-nonsense"}):
            assert (await client.post(PATH, json={"celsius": 30}, headers=headers)).status_code == 202
    said = [written.headers.get(TRACEPARENT) for written in api.writer.written]
    assert said == [PARENT.encode(), None, None]


async def test_a_request_is_told_with_its_route_and_status_and_its_record_names_it(api: Api) -> None:
    kept = KeptSpans()
    async with _told(api, kept) as client:
        await client.post(PATH, json={"celsius": 30}, headers={TRACEPARENT: PARENT})
        await client.post(PATH, json={}, headers={TRACEPARENT: PARENT})
        await client.post(PATH, json={"celsius": 30})
    first, second = kept.spans
    assert [span.ended for span in kept.spans] == [1, 1]
    assert (first.name, first.kind, first.parent) == ("api POST", "server", PARENT.encode())
    assert first.attributes["http.response.status_code"] == 202
    assert first.attributes["http.route"] == "/api/twins/{type}/{id}/requests/{name}"
    assert second.attributes["http.response.status_code"] == 422
    said = [written.headers.get(TRACEPARENT) for written in api.writer.written]
    assert said == [first.traceparent, None]


async def test_what_another_site_sends_is_not_told(api: Api) -> None:
    kept = KeptSpans()
    async with _told(api, kept) as client:
        headers = {TRACEPARENT: PARENT, "origin": "http://elsewhere.example"}
        assert (await client.post(PATH, json={"celsius": 30}, headers=headers)).status_code == 403
    assert kept.spans == []


async def test_a_request_that_fails_is_told_as_failed(api: Api) -> None:
    kept = KeptSpans()
    api.change(writer=BrokenWriter())
    async with _told(api, kept) as client:
        failed = await client.post(PATH, json={"celsius": 30}, headers={TRACEPARENT: PARENT})
    assert failed.status_code == 500
    (span,) = kept.spans
    assert span.ended == 1
    assert span.attributes["http.response.status_code"] == 500
    assert span.attributes["http.route"] == "/api/twins/{type}/{id}/requests/{name}"


async def test_callers_who_are_not_let_in_are_not_told(api: Api) -> None:
    api.require_tokens()
    api.change(requests_per_s=0.5)
    shown = api.token("request")
    kept = KeptSpans()
    async with _told(api, kept) as client:
        for _ in range(7):
            await client.post(PATH, json={"celsius": 30}, headers=shown)
        busy = await client.post(PATH, json={"celsius": 30}, headers=shown | {TRACEPARENT: PARENT})
        unknown = await client.post(PATH, json={"celsius": 30}, headers={TRACEPARENT: PARENT})
    assert (busy.status_code, unknown.status_code) == (429, 401)
    assert kept.spans == []
