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


async def test_a_browser_that_no_page_is_for_is_told_so_in_words_and_logs_out_there() -> None:
    api = Api()
    api.require_tokens()
    async with browser(api) as client:
        limited = api.token("read", types=("box",), twins=("tank/<b>",), name="<ann>")
        await client.post("/api/session", json={"token": limited["authorization"].removeprefix("Bearer ")})
        answer = await client.get("/types/box")
        assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        for words in ("may see only some", 'href="/api/twins?type=box"', "&lt;ann&gt;", 'id="logout"'):
            assert words in answer.text
        assert "<b>" not in answer.text
        lost = await client.get("/nosuch")
        assert (lost.status_code, lost.headers["content-type"]) == (404, "text/html; charset=utf-8")
        asked = await client.get("/types/box", headers={"accept": "application/json"})
        assert (asked.status_code, asked.headers["content-type"]) == (403, "application/problem+json")


async def test_a_page_that_is_not_there_is_told_in_words_to_browsers_and_in_a_document_to_others() -> None:
    async with browser(Api()) as client:
        for path in ("/nosuch", "/deadletters/nosuch", "/twins/box"):
            page = await client.get(path)
            assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8"), path
            assert "There is no such page" in page.text
            other = await client.get(path, headers={"accept": "*/*"})
            assert (other.status_code, other.headers["content-type"]) == (404, "application/problem+json"), path
        api = await client.get("/api/nosuch")
        assert (api.status_code, api.headers["content-type"]) == (404, "application/problem+json")
        assert "<img" not in (await client.get("/<img src=x>")).text


async def test_the_head_of_a_page_says_who_looks_and_lets_them_log_out() -> None:
    api = Api()
    async with browser(api) as client:
        assert "logout" not in _body(await client.get("/"))
    api.require_tokens()
    async with browser(api) as client:
        shown = api.token("read", name="ann of the plant")
        told = _body(await client.get("/", headers=shown))
        assert "ann of the plant" in told
        assert "logout" not in told  # there is no session
        await client.post("/api/session", json={"token": shown["authorization"].removeprefix("Bearer ")})
        told = _body(await client.get("/"))
        assert "ann of the plant" in told
        assert "logout" in told


def _body(page: httpx.Response) -> str:
    """What is in the page besides its style and scripts of ours."""
    assert page.status_code == 200
    return page.text.rpartition("#logout")[2]


async def test_where_no_token_is_needed_nobody_is_asked_for_one() -> None:
    api = Api()
    async with browser(api) as client:
        answer = await client.get("/login?next=/types")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
    api.require_tokens()
    async with browser(api) as client:
        assert (await client.get("/login")).status_code == 200


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
