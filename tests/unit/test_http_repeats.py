"""Repeats of requests, and changes under conditions."""

import asyncio
from pathlib import Path

import httpx
import pytest
from support.http_api import Api, Written

from infra.http.idempotency import KEPT_NS, Answered
from infra.http.services import LogUnavailableError
from schemas.headers import Headers

ASK = "/api/twins/box/a/requests/target"
KEY = {"idempotency-key": "k-1"}


def worked(api: Api) -> None:
    """Let the worker apply what is written."""

    def apply(record: Written) -> None:
        steps = record.value.get("parameters", {}).get("steps", 3)
        api.row(record.key.decode(), offset=record.offset, p_steps=steps, tags=record.value.get("tags"))

    api.writer.after = apply


async def test_a_repeat_is_answered_as_the_first_was_and_sends_nothing() -> None:
    api = Api()
    api.row("a")
    async with api.client() as client:
        first = await client.post(ASK, json={"celsius": 30}, headers=KEY)
        again = await client.post(ASK, json={"celsius": 30}, headers=KEY)
        other = await client.post(ASK, json={"celsius": 31}, headers={"idempotency-key": "k-2"})
        without = await client.post(ASK, json={"celsius": 30})
    assert (first.status_code, again.status_code, again.json()) == (202, 202, first.json())
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert len({one.json()["id"] for one in (first, other, without)}) == len(api.writer.written) == 3


async def test_a_key_with_another_body_is_refused_and_is_another_one_elsewhere() -> None:
    api = Api()
    api.row("a")
    api.row("b")
    async with api.client() as client:
        await client.post(ASK, json={"celsius": 30}, headers=KEY)
        wrong = await client.post(ASK, json={"celsius": 31}, headers=KEY)
        elsewhere = await client.post(ASK.replace("/a/", "/b/"), json={"celsius": 31}, headers=KEY)
        somebody = await client.post(ASK, json={"celsius": 31}, headers=KEY | api.token("request"))
    assert (wrong.status_code, wrong.json()["type"]) == (422, "urn:twinstream:problem:key-taken")
    assert (elsewhere.status_code, somebody.status_code) == (202, 202)


async def test_two_at_once_are_one() -> None:
    api = Api()
    api.row("a")
    write = api.writer.write

    async def slow(topic: str, key: bytes, value: bytes, headers: Headers) -> tuple[int, int]:
        await asyncio.sleep(0.05)
        return await write(topic, key, value, headers)

    api.writer.write = slow  # type: ignore[method-assign]
    async with api.client() as client:
        answers = await asyncio.gather(*(client.post(ASK, json={"celsius": 30}, headers=KEY) for _ in range(5)))
    assert {answer.json()["id"] for answer in answers} == {answers[0].json()["id"]}
    assert len(api.writer.written) == 1


async def test_what_was_surely_not_written_may_be_repeated_and_what_may_be_is_in_doubt() -> None:
    api = Api()
    api.row("a")
    write = api.writer.write

    async def in_doubt(topic: str, key: bytes, value: bytes, headers: Headers) -> tuple[int, int]:
        await write(topic, key, value, headers)
        message = "no confirmation within 5 s"
        raise LogUnavailableError(message)

    async with api.client() as client:
        refused = await client.post(ASK, json={"celsius": "x"}, headers=KEY)
        api.writer.away = True
        api.writer.sure = True
        away = await client.post(ASK, json={"celsius": 30}, headers=KEY)
        api.writer.away = False
        done = await client.post(ASK, json={"celsius": 30}, headers=KEY)
        api.writer.write = in_doubt  # type: ignore[method-assign]
        doubtful = await client.post(ASK, json={"celsius": 30}, headers={"idempotency-key": "k-2"})
        again = await client.post(ASK, json={"celsius": 30}, headers={"idempotency-key": "k-2"})
    assert (refused.status_code, away.status_code, done.status_code) == (422, 503, 202)
    assert (doubtful.status_code, again.status_code, len(api.writer.written)) == (503, 409, 2)
    assert again.json()["type"] == "urn:twinstream:problem:in-doubt"


async def test_a_start_of_the_api_forgets_no_key_and_a_day_does(tmp_path: Path) -> None:
    api = Api()
    api.row("a")
    file = tmp_path / "answers.sqlite"
    ids = []
    for passed_s in (0, 1, KEPT_NS // 10**9):
        api.clock.advance(passed_s)
        api.change(answered=Answered(file, api.clock))
        async with api.client() as client:
            ids.append((await client.post(ASK, json={"celsius": 30}, headers=KEY)).json()["id"])
        api.services.answered.close()
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "\xe4"])
async def test_a_key_that_is_none_is_refused(key: str) -> None:
    api = Api()
    api.row("a")
    async with api.client() as client:
        answer = await client.post(ASK, json={"celsius": 30}, headers=[(b"idempotency-key", key.encode("latin-1"))])
    assert answer.status_code == 422
    assert api.writer.written == []


async def test_a_change_is_made_only_if_the_twin_is_as_it_was_seen() -> None:
    api = Api()
    api.row("a")
    worked(api)
    async with api.client() as client:

        async def put(steps: int, **headers: str) -> httpx.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.put("/api/twins/box/a", json={"parameters": {"steps": steps}}, headers=named)

        seen = (await client.get("/api/twins/box/a")).headers["etag"]
        first = await put(4, if_match=seen)
        second = await put(5, if_match=seen)
        third = await put(6, if_match=f'"other", {first.headers["etag"]}')
        fourth = await put(7, if_match="*")
        fifth = await put(8, if_none_match="*")
        api.row("a", p_steps=7, revision=99, offset=9)
        steady = (await client.get("/api/twins/box/a")).headers["etag"]
        new = await client.put("/api/twins/box/new", json={}, headers={"if-none-match": "*"})
        none = await client.put("/api/twins/box/none", json={}, headers={"if-match": "*"})
    assert [one.status_code for one in (first, second, third, fourth, fifth, new, none)] == [
        *(200, 412, 200, 200, 412, 200, 412)
    ]
    assert second.json()["type"] == "urn:twinstream:problem:precondition-failed"
    assert fourth.headers["etag"] == steady != seen


async def test_of_changes_of_one_state_at_once_one_is_made() -> None:
    api = Api()
    api.row("a")
    worked(api)
    async with api.client() as client:
        seen = (await client.get("/api/twins/box/a")).headers["etag"]
        bodies = [{"parameters": {"steps": number}} for number in range(4, 10)]
        answers = await asyncio.gather(
            *(client.put("/api/twins/box/a", json=body, headers={"if-match": seen}) for body in bodies)
        )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412, 412]
    assert len(api.writer.written) == 1


async def test_nothing_conditional_goes_before_a_change_that_was_not_applied() -> None:
    api = Api()
    api.row("a")
    api.writer.written.append(Written("", b"", {}, {}, 0, 0))  # so that the next offset shows nothing as applied
    async with api.client() as client:
        seen = {"if-match": (await client.get("/api/twins/box/a")).headers["etag"]}
        pending = await client.put("/api/twins/box/a", json={"parameters": {"steps": 4}}, headers=seen)
        early = await client.put("/api/twins/box/a", json={"parameters": {"steps": 5}}, headers=seen)
        api.row("a", offset=1, p_steps=4)
        late = await client.put("/api/twins/box/a", json={"parameters": {"steps": 5}}, headers=seen)
    assert (pending.status_code, early.status_code, late.status_code) == (202, 503, 412)


async def test_twins_are_found_by_tag_and_by_the_beginning_of_their_id() -> None:
    api = Api()
    for twin, room in (("a1", "attic"), ("a2", "cellar"), ("a", "attic"), ("b1", "attic"), ("Z", "attic")):
        api.row(twin, tags={"room": room})
    async with api.client() as client:

        async def ids(query: str) -> list[str]:
            return [item["id"] for item in (await client.get(f"/api/twins?{query}")).json()["items"]]

        assert await ids("tag=room=attic") == ["Z", "a", "a1", "b1"]
        assert await ids("id=a") == ["a", "a1", "a2"]
        assert await ids("id=a&tag=room%3Dcellar&type=box") == ["a2"]
        assert await ids("id=a&after=box/a1") == ["a2"]
        assert await ids("id=a2x") == []
        page = (await client.get("/api/twins?id=a&limit=3")).json()
        assert page["next"] is None or page["next"] == "box/a2"
        for wrong in ("tag=room", "tag==x"):
            assert (await client.get(f"/api/twins?{wrong}")).status_code == 422
