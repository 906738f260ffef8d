"""Who may look at the console, and what becomes of what viewers do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from support.console import desk_over
from support.http_api import BASE_URL, Api

from infra.access.caller import Caller
from infra.access.grants import Grants, Scope
from infra.console import asking
from infra.console.mounting import opened
from infra.http.app import create_app


@asynccontextmanager
async def browser(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(api.services)
    async with opened(app, desk_over(api.services)):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        page = {"accept": "text/html"}
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=page) as client:
            yield client


async def test_who_has_not_logged_in_is_sent_to_do_so_and_back() -> None:
    api = Api()
    api.row("a")
    api.require_tokens()
    secret = api.token("read")["authorization"].removeprefix("Bearer ")
    async with browser(api) as client:
        for path in ("/", "/twins/box/a", "/_nicegui/3/static/nicegui.js"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["location"][:12]) == (303, "/login?next=")
        assert (await client.post("/api/session", json={"token": secret})).status_code == 200
        assert (await client.get("/twins/box/a")).status_code == 200


async def test_who_is_limited_to_some_twins_or_may_not_read_sees_no_page() -> None:
    api = Api()
    api.require_tokens()
    async with browser(api) as client:
        for shown in (api.token("read", types=("box",)), api.token("request")):
            assert (await client.get("/", headers=shown)).status_code == 403


async def test_what_a_viewer_does_needs_its_scope_and_is_told_to_the_audit_trail() -> None:
    api = Api()
    api.row("a")
    looks = Caller("eve", "token", frozenset({Scope.READ}))
    elsewhere = Caller("bob", "oidc", frozenset({Scope.REQUEST}), Grants(twins=frozenset({"box/b"})))
    asks = Caller("ann", "oidc", frozenset({Scope.READ, Scope.REQUEST}))
    for caller in (looks, elsewhere):
        refused = await asking.change_parameters(api.services, caller, "box", "a", {"steps": 4})
        assert refused.kind == "refused"
    assert api.writer.written == []
    await asking.change_parameters(api.services, asks, "box", "a", {"steps": 4})
    assert [(entry.who, entry.result, entry.content) for entry in api.audit.entries] == [
        ("eve", "refused", '{"steps":4}'),
        ("bob", "refused", '{"steps":4}'),
        ("ann", "done", '{"steps":4}'),
    ]
    assert [record.value["parameters"] for record in api.writer.written] == [{"steps": 4}]
