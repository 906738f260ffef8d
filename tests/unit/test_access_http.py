"""Who may call the API, and what the audit trail is told."""

import asyncio
from random import Random
from string import ascii_letters, digits
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from support.http_api import Api

from infra.access.caller import CredentialError
from infra.access.gate import LOCAL
from infra.access.grants import Scope
from infra.access.origin import Origin
from infra.http import stream
from infra.http.access import needed
from infra.http.app import create_app

ORIGIN = {"origin": "http://127.0.0.1:8080"}
OPEN = {("POST", "/api/session"), ("GET", "/login")}


def routes() -> list[tuple[str, str]]:
    """Method and a path of every endpoint."""
    app = create_app(Api().services)
    names = {"{type}": "box", "{id}": "a", "{name}": "target", "{token}": "0f3c"}
    found = [("GET", "/openapi.json"), ("GET", "/nothing")]
    for route in app.routes:
        if isinstance(route, APIRoute):
            path = route.path
            for name, value in names.items():
                path = path.replace(name, value)
            found += [(method, path) for method in route.methods or ()]
    return sorted(set(found) - OPEN)


async def call(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> httpx.Response:
    body: dict[str, Any] | None = None if method in {"GET", "DELETE"} else {}
    return await client.request(method, path, json=body, **options)


@pytest.mark.parametrize(("method", "path"), routes())
async def test_without_a_token_an_outsider_gets_nothing(method: str, path: str) -> None:
    api = Api()
    api.row("a")
    api.require_tokens()
    async with api.client() as client:
        answer = await call(client, method, path)
        forged = await call(client, method, path, headers={"authorization": "Bearer ts_00_x"})
    for one in (answer, forged):
        assert (one.status_code, one.json()["type"]) == (401, "urn:twinstream:problem:unauthenticated")
        assert one.headers["www-authenticate"].startswith("Bearer ")
    assert api.writer.written == []
    assert api.audit.entries == []


async def test_every_scope_opens_what_the_document_says_and_nothing_else() -> None:
    api = Api()
    api.row("a")
    api.require_tokens()
    async with api.client() as client:
        schema = (await client.get("/openapi.json", headers=api.token("read"))).json()
        for path, methods in schema["paths"].items():
            if path == "/api/stream":
                continue
            for method, operation in methods.items():
                (required,) = operation["security"] or [{"bearer": []}]
                for scope in Scope:
                    there = path.replace("{type}", "box").replace("{id}", "a").replace("{name}", "reset")
                    answer = await call(client, method.upper(), there, headers=api.token(scope))
                    opens = not required["bearer"] or scope in {Scope.ADMIN, *required["bearer"]}
                    refused = answer.status_code == 403 and answer.json()["type"].endswith(":forbidden")
                    assert refused is not opens, (method, path, scope, answer.text)


def test_an_endpoint_that_says_nothing_is_not_open() -> None:
    async def endpoint() -> None: ...

    assert needed(APIRoute("/x", endpoint, methods=["GET"])) == (Scope.READ, False)
    assert needed(APIRoute("/x", endpoint, methods=["POST"])) == (Scope.ADMIN, False)


async def test_a_token_is_made_once_used_and_revoked_at_once() -> None:
    api = Api()
    api.require_tokens()
    admin = api.token("admin", name="root")
    async with api.client() as client:
        body = {"name": "dash", "scopes": ["read"]}
        made = (await client.post("/api/tokens", json=body, headers=admin)).json()
        shown = {"authorization": f"Bearer {made['token']}"}
        assert (await client.get("/api/twins", headers=shown)).status_code == 200
        listed = await client.get("/api/tokens", headers=admin)
        assert made["token"] not in listed.text
        assert made["token"].split("_", 2)[2] not in str(api.tokens.get(made["id"]))
        gone = await client.delete(f"/api/tokens/{made['id']}", headers=admin)
        assert gone.json()["good"] is False
        answer = await client.get("/api/twins", headers=shown)
        assert (answer.status_code, answer.json()["detail"]) == (401, "the token was revoked")
        assert (await client.delete("/api/tokens/nope", headers=admin)).json()["type"].endswith("unknown-token")
    revoked = api.tokens.get(made["id"])
    assert revoked is not None
    assert (revoked.created_by, revoked.revoked_by) == ("root", "root")


def test_of_a_thousand_forged_tokens_none_passes() -> None:
    api = Api()
    good = api.token("admin")["authorization"].removeprefix("Bearer ")
    other = api.token("read")["authorization"].removeprefix("Bearer ")
    random, letters = Random(7), ascii_letters + digits + "-_"
    forged = {good[:-1], good + "A", good.lower(), good.upper(), f"{good[:20]}{other[20:]}", other[:20] + good[20:]}
    while len(forged) < 1000:
        at = random.randrange(len(good))
        forged.add(good[:at] + random.choice(letters) + good[at + 1 :])
        forged.add(good[:20] + "".join(random.choices(letters, k=43)))
    passed = []
    for one in forged - {good, other}:
        try:
            passed.append((one, api.tokens.caller(one, api.clock.now_ns())))
        except CredentialError:
            continue
    assert passed == []
    assert api.tokens.caller(good, api.clock.now_ns()).may(Scope.ADMIN)


async def test_a_token_ends_when_it_expires() -> None:
    api = Api()
    api.require_tokens()
    shown = api.token("read", expires_ns=api.clock.now_ns() + 10**9)
    async with api.client() as client:
        assert (await client.get("/api/twins", headers=shown)).status_code == 200
        api.clock.advance(1)
        assert (await client.get("/api/twins", headers=shown)).json()["detail"] == "the token is expired"
        shown["authorization"] += "0"
        detail = (await client.get("/api/twins", headers=shown)).json()["detail"]
        assert detail == "the token is unknown: `twinstream token create NAME` makes one"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "", "scopes": ["read"]},
        {"name": "x\ny", "scopes": ["read"]},
        {"name": "x", "scopes": ["read"], "types": ["Box!"]},
        {"name": "x", "scopes": ["read"], "twins": ["box"]},
        {"name": "x", "scopes": ["read"], "expires": "yesterday"},
        {"name": "x", "scopes": ["read"], "expires": "2020-01-01T00:00:00Z"},
        {"name": "x", "scopes": ["read"], "more": 1},
    ],
)
async def test_a_token_that_can_not_be_is_refused(body: dict[str, Any]) -> None:
    api = Api()
    async with api.client() as client:
        answer = await client.post("/api/tokens", json=body)
    assert answer.status_code == 422
    assert api.tokens.all() == []


async def test_as_long_as_tokens_are_being_read_nobody_is_let_in_and_nobody_is_wrong() -> None:
    api = Api()
    api.require_tokens(local_secret="own")  # noqa: S106 - a test's
    shown = api.token("read")
    api.tokens.complete = False
    async with api.client() as client:
        answer = await client.get("/api/twins", headers=shown)
        local = await client.get("/api/session", headers={"authorization": "Bearer own"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert local.json()["via"] == LOCAL.via


@pytest.mark.parametrize(
    "value",
    ["", "Basic dTpw", "Bearer", "Bearer ", "Bearer \xe4", "bearer a b", "Bearer ts_", "Bearer ts__", "Token x"],
)
async def test_what_is_shown_is_checked_also_where_nothing_has_to_be(value: str) -> None:
    async with Api().client() as client:
        answer = await client.get("/api/twins", headers=[(b"authorization", value.encode("latin-1"))])
    assert answer.status_code == 401


async def test_limits_leave_the_rest_out_of_lists_and_hide_it() -> None:
    api = Api()
    other = api.catalogue.deploy("name: crate\nversion: 1.0.0\n" + _BODY)
    for twin in ("a", "b", "c"):
        api.row(twin)
        api.row(twin, type_name=str(other.type_name))
    api.dead("late", type_name="box")
    api.dead("late", type_name="crate")
    api.require_tokens()
    one, whole = api.token("read", "request", twins=("box/a",)), api.token("read", types=("crate",))

    async with api.client() as client:

        async def ids(path: str, headers: dict[str, str]) -> list[str]:
            items = (await client.get(path, headers=headers)).json()["items"]
            return [f"{item['type']}/{item.get('id', '')}" for item in items]

        assert await ids("/api/twins", one) == ["box/a"]
        assert (await client.get("/api/twins?limit=1", headers=one)).json()["next"] is None
        assert await ids("/api/twins", whole) == ["crate/a", "crate/b", "crate/c"]
        assert await ids("/api/types", one) == ["box/"]
        assert (await client.get("/api/types/box", headers=one)).json()["twins"] == 1
        for path in ("/api/types/crate", "/api/twins/crate/a", "/api/twins/box/b", "/api/twins?type=crate"):
            assert (await client.get(path, headers=one)).status_code == 404
        for path in ("/metrics", "/api/instance", "/api/status", "/api/tokens", "/api/audit"):
            assert (await client.get(path, headers=api.token("admin", types=("box",)))).status_code == 403
        letters = (await client.get("/api/deadletters", headers=whole)).json()["items"]
        assert [letter["type"] for letter in letters] == ["crate"]
        assert (await client.get("/api/deadletters/number", headers=whole)).json() == {"number": 1}
        assert (await client.get("/api/deadletters/number?type=box", headers=whole)).json() == {"number": 0}
        for path in ("/api/twins/box/b", "/api/twins/box/new"):
            assert (await client.put(path, json={}, headers=one)).status_code == 403
        asked = await client.post("/api/twins/box/b/requests/reset", json={}, headers=one)
        assert asked.status_code == 404
        all_types = api.token("deploy", types=("crate",))
        assert (await client.post("/api/deadletters/redrive", json={}, headers=all_types)).status_code == 403
    assert api.writer.written == []


async def test_a_stream_shows_what_is_granted_and_ends_with_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_LOOK_S", 0.02)
    api = Api()
    api.row("a")
    api.require_tokens()
    shown = api.token("read", twins=("box/a",))
    async with api.client() as client:
        reading = asyncio.create_task(client.get("/api/stream", headers=shown))
        async with asyncio.timeout(5):
            while not api.feed.clients:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
            api.event("b", "hidden")
            api.event("a", "shown")
            await asyncio.sleep(0.2)
            (token,) = api.tokens.all()
            api.tokens.put(type(token)(**{**_fields(token), "revoked_ns": 5}))
            text = (await reading).text
    assert "shown" in text
    assert "hidden" not in text
    assert "good no longer" in text


def _fields(token: Any) -> dict[str, Any]:
    return {name: getattr(token, name) for name in token.__struct_fields__}


async def test_every_change_is_told_with_who_what_and_result() -> None:
    api = Api()
    api.row("a")
    api.require_tokens()
    asking = api.token("request", name="panel")
    async with api.client() as client:
        await client.post("/api/twins/box/a/requests/target", json={"celsius": 30}, headers=asking)
        await client.post("/api/twins/box/a/requests/target", json={"celsius": "x"}, headers=asking)
        await client.post("/api/deadletters/purge", json={}, headers=asking)
        await client.get("/api/session", headers=asking)
        told = (await client.get("/api/audit", headers=api.token("admin"))).json()["items"]
        mine = await client.get("/api/audit?twin=a&result=done", headers=api.token("admin"))
        page = (await client.get("/api/audit?limit=2", headers=api.token("admin"))).json()
        rest = await client.get(f"/api/audit?after={page['next']}", headers=api.token("admin"))
    assert sorted((item["action"].split("/")[-1], item["result"], item["status"]) for item in told) == [
        ("purge", "refused", 403),
        ("{name}", "done", 202),
        ("{name}", "refused", 422),
    ]
    assert {(item["who"], item["via"]) for item in told} == {("panel", "token")}
    (item,) = mine.json()["items"]
    assert (item["type"], item["twin"], item["content"]) == ("box", "a", '{"celsius":30}')
    assert len(page["items"]) == 2
    assert len(rest.json()["items"]) == 1


async def test_a_change_that_the_audit_trail_does_not_have_is_not_answered_as_done() -> None:
    api = Api()
    api.row("a")
    api.audit.away = True
    async with api.client() as client:
        answer = await client.post("/api/twins/box/a/requests/reset", json={})
        assert (await client.get("/api/twins")).status_code == 200
    assert answer.status_code == 503
    assert "audit" in answer.json()["detail"]


async def test_a_browser_logs_in_once_and_shows_a_cookie_from_then_on() -> None:
    api = Api()
    api.row("a")
    api.require_tokens()
    secret = api.token("read", "request")["authorization"].removeprefix("Bearer ")
    async with api.client() as client:
        page = await client.get("/login")
        assert "script-src 'nonce-" in page.headers["content-security-policy"]
        asked = await client.get("/api/twins?type=box", headers={"accept": "text/html,*/*"})
        assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2Fapi%2Ftwins%3Ftype%3Dbox")
        assert (await client.post("/api/session", json={"token": "ts_0_0"})).status_code == 401
        answer = await client.post("/api/session", json={"token": secret})
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert secret not in cookie
        assert (await client.get("/api/twins")).status_code == 200
        write = "/api/twins/box/a/requests/reset"
        assert (await client.post(write, json={})).status_code == 403
        assert (await client.post(write, json={}, headers=ORIGIN)).status_code == 202
        foreign = {"origin": "http://127.0.0.1:9"}
        assert (await client.post(write, json={}, headers=foreign)).status_code == 403
        kept = client.cookies["twinstream_session"]
        assert (await client.delete("/api/session", headers=ORIGIN)).status_code == 204
        client.cookies.set("twinstream_session", kept)
        assert (await client.get("/api/twins")).status_code == 401
    assert [entry.action for entry in api.audit.entries if entry.path == "/api/session"] == ["login", "logout"]
    assert secret not in str(api.audit.entries)


@pytest.mark.parametrize(("url", "secure"), [("https://twins.example.org", True), ("http://localhost:8081", False)])
async def test_behind_an_https_proxy_the_cookie_goes_over_https_alone(url: str, *, secure: bool) -> None:
    api = Api()
    api.require_tokens()
    api.change(public=Origin.of_url(url))
    secret = api.token("read")["authorization"].removeprefix("Bearer ")
    async with api.client() as client:
        answer = await client.post("/api/session", json={"token": secret}, headers={"origin": url})
        cookie = answer.cookies["twinstream_session"]
        ended = await client.delete(
            "/api/session", headers={"origin": url, "cookie": f"twinstream_session={cookie}", "host": "localhost"}
        )
    assert ("; secure" in answer.headers["set-cookie"].lower()) is secure
    assert ended.status_code == 204
    assert ("; secure" in ended.headers["set-cookie"].lower()) is secure


@pytest.mark.parametrize("scope", list(Scope))
async def test_whoever_logged_in_can_log_out_whatever_the_token_permits(scope: Scope) -> None:
    api = Api()
    api.require_tokens()
    secret = api.token(scope)["authorization"].removeprefix("Bearer ")
    async with api.client() as client:
        assert (await client.post("/api/session", json={"token": secret})).status_code == 200
        kept = client.cookies["twinstream_session"]
        assert (await client.delete("/api/session", headers=ORIGIN)).status_code == 204
        client.cookies.set("twinstream_session", kept)
        assert (await client.delete("/api/session", headers=ORIGIN)).status_code == 401
        assert (await client.delete("/api/session")).status_code == 401


async def test_logging_in_again_ends_the_session_that_the_browser_had() -> None:
    api = Api()
    api.require_tokens()
    first, second = (api.token("read", name=name)["authorization"].removeprefix("Bearer ") for name in ("ann", "bob"))
    async with api.client() as client:
        await client.post("/api/session", json={"token": first})
        earlier = {"cookie": f"twinstream_session={client.cookies['twinstream_session']}"}
        assert (await client.post("/api/session", json={"token": "ts_0_0"}, headers=ORIGIN)).status_code == 401
        assert (await client.get("/api/session")).json()["name"] == "ann"
        await client.post("/api/session", json={"token": second}, headers=ORIGIN)
        assert (await client.get("/api/session")).json()["name"] == "bob"
        client.cookies.clear()
        assert (await client.get("/api/session", headers=earlier)).status_code == 401
        await client.post("/api/session", json={"token": first}, headers=ORIGIN | earlier)
    told = [(entry.action, entry.who) for entry in api.audit.entries]
    assert told == [("login", "ann"), ("logout", "ann"), ("login", "bob"), ("login", "ann")]


async def test_a_session_ends_with_its_token_and_after_its_time() -> None:
    api = Api()
    api.require_tokens()
    api.change(session_s=60.0)
    secret = api.token("read")["authorization"].removeprefix("Bearer ")
    async with api.client() as client:
        await client.post("/api/session", json={"token": secret})
        kept = client.cookies["twinstream_session"]
        assert (await client.get("/api/twins")).status_code == 200
        api.clock.advance(60)
        assert (await client.get("/api/twins")).status_code == 401
        await client.post("/api/session", json={"token": secret})
        assert client.cookies["twinstream_session"] != kept
        (token,) = api.tokens.all()
        api.tokens.put(type(token)(**{**_fields(token), "revoked_ns": 5}))
        assert (await client.get("/api/twins")).status_code == 401


async def test_who_asks_too_often_is_told_when_to_ask_again_and_nobody_else() -> None:
    api = Api()
    api.require_tokens()
    api.change(requests_per_s=0.5)
    busy, other = api.token("read"), api.token("read")
    async with api.client() as client:
        found = [(await client.get("/api/types", headers=busy)).status_code for _ in range(7)]
        last = await client.get("/api/types", headers=busy)
        quiet = await client.get("/api/types", headers=other)
    assert found == [200] * 5 + [429] * 2
    assert (last.json()["type"], last.headers["retry-after"]) == ("urn:twinstream:problem:too-many-requests", "2")
    assert quiet.status_code == 200


async def test_a_websocket_of_another_site_or_without_a_token_is_refused() -> None:
    api = Api()
    api.require_tokens()
    app = create_app(api.services)

    async def opened(**headers: str) -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "websocket", "scheme": "ws", "path": "/x", "raw_path": b"/x", "query_string": b"", "state": {}}
        await app(scope | {"headers": raw, "client": ("127.0.0.1", 5), "subprotocols": []}, receive, send)
        return sent

    shown = api.token("read")
    for headers in (
        {"host": "127.0.0.1:8080"},
        {"host": "127.0.0.1:8080", "origin": "http://evil.example", **shown},
        {"host": "evil.example", **shown},
        {"host": "127.0.0.1:8080", "authorization": "Bearer ts_0_0"},
    ):
        (message,) = await opened(**headers)
        assert (message["type"], message["code"]) == ("websocket.close", 1008)


_BODY = """
inputs:
  t: {type: float}
pipeline:
  - {name: average, step: running_statistics, inputs: {value: t}, outputs: [count, mean, variance]}
outputs:
  timeseries: {fields: [mean]}
"""
