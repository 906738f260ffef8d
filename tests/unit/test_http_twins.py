from typing import Any

import pytest
from support.http_api import BOX, Api, Written

from infra.http.models import Accepted, Twin, TwinList, TypeDetail, TypeList
from infra.http.problems import Problem
from schemas.topics import TypeTopics
from streams.log.record import LogRecord
from twins.layout import LAYOUT_KEY_PREFIX, RowLayout

JSON = {"content-type": "application/json"}
OTHER = BOX.replace("name: box", "name: zone\nproject: acme")


def problem(answer: Any, status: int, kind: str) -> Problem:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = Problem.model_validate(answer.json())
    assert (document.status, document.type) == (status, f"urn:twinstream:problem:{kind}")
    return document


async def test_types_are_listed_with_their_twins_and_shown_with_their_definition() -> None:
    api = Api(BOX, OTHER)
    api.row("a")
    async with api.client() as client:
        listed = TypeList.model_validate((await client.get("/api/types")).json())
        shown = TypeDetail.model_validate((await client.get("/api/types/acme-zone")).json())
        problem(await client.get("/api/types/none"), 404, "unknown-type")
        problem(await client.get("/api/types/Bad-Name"), 422, "invalid-name")
    assert [(item.type, item.twins) for item in listed.items] == [("acme-zone", 0), ("box", 1)]
    assert (listed.next, shown.project, shown.name) == (None, "acme", "zone")
    assert shown.definition["inputs"]["t"]["range"] == [-40.0, 125.0]


async def test_a_route_is_shown_in_the_words_of_the_file() -> None:
    text = OTHER.replace("parameters:", "parameters:\n  hall: {type: string, default: hall-1}")
    api = Api(text.replace("fields: [", "route: {type: acme-hall, id: hall, as: {t: mean}}, fields: ["))
    async with api.client() as client:
        shown = TypeDetail.model_validate((await client.get("/api/types/acme-zone")).json())
    assert shown.definition["outputs"]["timeseries"]["route"] == {
        "type": "acme-hall", "id": "hall", "as": {"t": "mean"},
    }  # fmt: skip


async def test_a_twin_is_shown_as_the_contract_says() -> None:
    api = Api()
    api.row("a", tags={"room": "x"}, revision=4, event_time_ns=99, i_t=21.5, i_lid=1.0, p_noise=0.25, o_mean=20.0)
    async with api.client() as client:
        body = (await client.get("/api/twins/box/a")).json()
    Twin.model_validate(body)
    assert set(body) == {
        "type",
        "id",
        "version",
        "revision",
        "event_time_ns",
        "inputs",
        "state",
        "outputs",
        "parameters",
        "tags",
        "status",
    }
    assert (body["type"], body["id"], body["version"], body["revision"]) == ("box", "a", "1.2.0", 4)
    assert (body["event_time_ns"], body["status"], body["tags"]) == (99, "ok", {"room": "x"})
    assert body["inputs"] == {"t": 21.5, "lid": True}
    assert body["parameters"] == {"noise": 0.25, "steps": 3, "mode": "slow"}
    assert (body["outputs"]["mean"], body["outputs"]["count"]) == (20.0, None)


async def test_what_does_not_exist_is_a_404_and_a_bad_name_a_422() -> None:
    api = Api()
    api.row("a")
    async with api.client() as client:
        problem(await client.get("/api/twins/box/b"), 404, "unknown-twin")
        problem(await client.get("/api/twins/none/a"), 404, "unknown-type")
        problem(await client.get("/api/twins/box/-a"), 422, "invalid-name")
        problem(await client.get("/api/twins/box/%23position"), 422, "invalid-name")
        problem(await client.get("/api/twins/box/a/b/c"), 404, "not-found")
        problem(await client.get("/api/twins/"), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/twins/box/a", "GET, PUT"),
        ("PATCH", "/api/twins/box/a", "GET, PUT"),
        ("OPTIONS", "/api/twins/box/a", "GET, PUT"),
        ("DELETE", "/api/twins", "GET"),
        ("GET", "/api/twins/box/a/requests/reset", "POST"),
    ],
)
async def test_a_method_that_is_not_possible_is_told_all_that_are(method: str, path: str, allowed: str) -> None:
    headers = {"content-type": "application/json"} if method == "PATCH" else {}
    async with Api().client() as client:
        answer = await client.request(method, path, headers=headers)
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("after", ["garbage", "box/", "/a", "Box/a", "a/b/c", "box/#position"])
async def test_a_page_after_what_is_no_place_is_refused(after: str) -> None:
    async with Api().client() as client:
        document = problem(await client.get("/api/twins", params={"after": after}), 422, "invalid-values")
    assert [fault.parameter for fault in document.errors or []] == ["after"]


async def test_query_parameters_that_nobody_reads_are_named_with_those_that_there_are() -> None:
    api = Api()
    api.row("a")
    async with api.client() as client:
        document = problem(await client.get("/api/twins?typ=box&limit=1&page=2"), 422, "invalid-values")
        alone = problem(await client.get("/healthz?verbose"), 422, "invalid-values")
        written = problem(await client.put("/api/twins/box/a?dry_run=1", json={}), 422, "invalid-values")
        assert (await client.get("/api/twins?type=box&limit=1&after=box/a")).status_code == 200
    assert [fault.parameter for fault in document.errors or []] == ["typ", "page"]
    assert "there are: type, status, tag, id, limit, after" in document.detail
    assert "there is none here" in alone.detail
    assert [fault.parameter for fault in written.errors or []] == ["dry_run"]
    assert api.writer.written == []


async def test_while_the_log_is_still_being_read_nothing_is_called_unknown() -> None:
    api = Api()
    api.change(loading=lambda: "types, twins")
    async with api.client() as client:
        answer = await client.get("/api/twins/box/a")
    assert "types, twins" in problem(answer, 503, "unavailable").detail
    assert answer.headers["retry-after"] == "1"


async def test_pages_of_twins_cover_all_types_in_order_and_end_with_null() -> None:
    api = Api(BOX, OTHER)
    for twin in ("b", "c", "a"):
        api.row(twin)
        api.row(twin, type_name="acme-zone")
    seen: list[tuple[str, str]] = []
    after = ""
    async with api.client() as client:
        for _ in range(3):
            page = TwinList.model_validate((await client.get("/api/twins", params={"limit": 2, "after": after})).json())
            seen += [(item.type, item.id) for item in page.items]
            after = page.next or ""
        rest = (await client.get("/api/twins", params={"type": "box", "after": "box/a", "limit": 2})).json()
        short = (await client.get("/api/twins", params={"type": "box", "after": "b"})).json()
    assert seen == [(name, twin) for name in ("acme-zone", "box") for twin in "abc"]
    assert after == ""
    assert ([item["id"] for item in rest["items"]], rest["next"]) == (["b", "c"], None)
    assert [item["id"] for item in short["items"]] == ["c"]


async def test_twins_of_one_status_are_listed_page_by_page() -> None:
    api = Api()
    for twin, status in (("a", 0), ("b", 1), ("c", 1)):
        api.row(twin, status=status)
    query = {"type": "box", "status": "quarantined", "limit": "2"}
    async with api.client() as client:
        page = (await client.get("/api/twins", params=query)).json()
        rest = (await client.get("/api/twins", params={**query, "after": page["next"]})).json()
        problem(await client.get("/api/twins?status=sad"), 422, "invalid-values")
    assert ([item["id"] for item in page["items"]], [item["id"] for item in rest["items"]]) == (["b"], ["c"])


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit="])
async def test_a_limit_out_of_range_names_the_parameter(query: str) -> None:
    async with Api().client() as client:
        document = problem(await client.get(f"/api/twins?{query}"), 422, "invalid-values")
    assert [fault.parameter for fault in document.errors or []] == ["limit"]


async def test_a_tombstone_removes_the_twin_and_reserved_keys_are_no_twins() -> None:
    api = Api()
    api.row("a")
    api.row("b")
    state = TypeTopics("box").state
    api.states.apply(
        [api.record(state, b"a", None), api.record(state, b"#position", b"{}"), api.record(state, None, b"")]
    )
    async with api.client() as client:
        items = (await client.get("/api/twins")).json()["items"]
    assert [item["id"] for item in items] == ["b"]


async def test_a_row_of_an_earlier_version_is_carried_over_by_its_layout_record() -> None:
    api = Api()
    old = RowLayout.of(api.catalogue.deployed["box"].definition)
    api.row("a", i_t=20.0, p_noise=0.125, revision=9)
    api.catalogue.deploy(
        BOX.replace("version: 1.2.0", "version: 1.3.0").replace("  noise:", "  extra: {default: 7}\n  noise:"), "beef"
    )
    async with api.client() as client:
        before = await client.get("/api/twins/box/a")
        key = LAYOUT_KEY_PREFIX + old.fingerprint.hex().encode()
        api.states.apply([api.record(TypeTopics("box").state, key, old.description)])
        after = (await client.get("/api/twins/box/a")).json()
    assert before.status_code == 404
    assert (after["version"], after["revision"], after["inputs"]["t"]) == ("1.3.0", 9, 20.0)
    assert (after["parameters"]["noise"], after["parameters"]["extra"]) == (0.125, 7.0)


async def test_rows_that_can_t_be_read_hide_one_twin_and_no_other() -> None:
    api = Api()
    api.row("a")
    state = TypeTopics("box").state
    layout = RowLayout.of(api.catalogue.deployed["box"].definition)
    for twin, value in ((b"b", b""), (b"c", layout.fingerprint + b"short"), (b"d", b"12345678" * 99)):
        api.states.apply([api.record(state, twin, value)])
    api.states.apply([api.record(state, LAYOUT_KEY_PREFIX + b"zz", b"{")])
    async with api.client() as client:
        assert [item["id"] for item in (await client.get("/api/twins")).json()["items"]] == ["a"]


def applying(api: Api, *, noise: float) -> Any:
    def worker(written: Written) -> None:
        api.row(written.key.decode(), offset=written.offset, tags=written.value["tags"], p_noise=noise)

    return worker


async def test_put_writes_one_parameters_record_and_answers_with_the_twin_once_applied() -> None:
    api = Api()
    api.writer.after = applying(api, noise=0.75)
    body = {"parameters": {"noise": 0.75}, "tags": {"room": "lab 2"}}
    async with api.client() as client:
        answer = await client.put("/api/twins/box/new-1", json=body)
    assert answer.status_code == 200
    assert Twin.model_validate(answer.json()).parameters["noise"] == 0.75
    (written,) = api.writer.written
    assert (written.topic, written.key, written.value) == ("twinstream.box.telemetry", b"new-1", body)
    assert written.headers["ts-kind"] == b"parameters"
    assert written.headers["ts-source"] == b"http:/api/twins/box/new-1"
    assert written.headers["ts-received"] == b"1700000000000000000"
    assert len(written.headers["ts-id"]) == 32


async def test_put_that_is_not_applied_in_time_answers_202_with_its_place() -> None:
    api = Api()
    api.row("a", offset=-1)
    async with api.client() as client:
        answer = await client.put("/api/twins/box/a", json={})
    assert answer.status_code == 202
    (written,) = api.writer.written
    accepted = Accepted.model_validate(answer.json())
    assert (accepted.id.encode(), accepted.partition, accepted.offset) == (
        written.headers["ts-id"],
        written.partition,
        written.offset,
    )


async def test_put_that_the_worker_refuses_is_a_409_with_its_reason() -> None:
    api = Api()

    def worker(written: Written) -> None:
        record_id = written.headers["ts-id"].decode()
        api.row("a", offset=written.offset)  # the row comes first, and does not show the change
        api.event("a", "request_rejected", event_id="another", reason="not this one")
        api.event("a", "request_rejected", event_id=record_id, reason="the twin is asleep")

    api.writer.after = worker
    async with api.client() as client:
        answer = await client.put("/api/twins/box/a", json={"parameters": {"noise": 0.75}})
    assert "the twin is asleep" in problem(answer, 409, "refused").detail


async def test_put_lists_every_fault_and_writes_nothing() -> None:
    api = Api()
    body = {
        "parameters": {"noise": 2, "steps": 1.5, "mode": "other", "gone": 1, "a/b": None},
        "tags": {"twin": "x", "a b": 1, "room": "\n", "long": "x" * 257, "number": 7},
        "parameter": {},
    }
    async with api.client() as client:
        document = problem(await client.put("/api/twins/box/a", json=body), 422, "invalid-values")
    assert [fault.pointer for fault in document.errors or []] == [
        "#/parameter",
        "#/parameters/noise",
        "#/parameters/steps",
        "#/parameters/mode",
        "#/parameters/gone",
        "#/parameters/a~1b",
        "#/tags/twin",
        "#/tags/a b",
        "#/tags/a b",
        "#/tags/room",
        "#/tags/long",
        "#/tags/number",
    ]
    assert api.writer.written == []


async def test_what_is_no_object_is_called_so_and_hides_nothing_else() -> None:
    async with Api().client() as client:
        document = problem(
            await client.put("/api/twins/box/a", json={"parameters": [1], "tags": {"twin": "x"}}), 422, "invalid-values"
        )
        bodies = [
            problem(await client.put("/api/twins/box/a", content=body, headers=JSON), 422, "invalid-values")
            for body in (b"[]", b'"x"')
        ]
        empty = problem(await client.put("/api/twins/box/a", headers=JSON), 422, "invalid-values")
        asked = problem(await client.get("/api/twins?limit=0"), 422, "invalid-values")
    assert [(fault.pointer, fault.detail) for fault in document.errors or []] == [
        ("#/parameters", "must be a JSON object"),
        ("#/tags/twin", "twin is reserved"),
    ]
    assert {body.detail for body in bodies} == {"#: must be a JSON object"}
    assert empty.detail == "#: a JSON object is required"
    assert asked.detail == "limit: must be at least 1"


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"{", 400, "invalid-json"),
        (b"\xff\xfe{", 400, "bad-request"),
        (b"[" * 100_000, 400, "bad-request"),
        (b"", 422, "invalid-values"),
        (b"[]", 422, "invalid-values"),
        (b'{"parameter": {}}', 422, "invalid-values"),
        (b'{"parameters": {"noise": NaN}}', 422, "invalid-values"),
        (b'{"parameters": {"noise": 1e999}}', 422, "invalid-values"),
        (b'{"parameters": {"steps": 1' + b"0" * 400 + b"}}", 422, "invalid-values"),
        (b'{"parameters": {"noise": true}}', 422, "invalid-values"),
        (b'{"parameters": {"mode": "\\ud800"}}', 422, "invalid-values"),
        (b'{"parameters": {"\\ud800": 1}}', 422, "invalid-values"),
        (b'{"tags": {"room": "\\ud800"}}', 422, "invalid-values"),
        (b'{"tags": {"room": 1}}', 422, "invalid-values"),
        (b'{"parameters": null}', 422, "invalid-values"),
    ],
)
async def test_a_body_that_is_none_is_a_problem_and_never_a_500(content: bytes, status: int, kind: str) -> None:
    api = Api()
    async with api.client(headers={"content-type": "application/json"}) as client:
        problem(await client.put("/api/twins/box/a", content=content), status, kind)
    assert api.writer.written == []


async def test_a_log_that_is_away_is_a_503() -> None:
    api = Api()
    api.row("a")
    api.writer.away = True
    async with api.client() as client:
        for answer in (
            await client.put("/api/twins/box/a", json={}),
            await client.post("/api/twins/box/a/requests/reset", json={}),
        ):
            problem(answer, 503, "unavailable")


async def test_waiting_sees_rows_applied_before_and_after_and_nothing_else() -> None:
    api = Api()
    api.row("a", offset=5)
    assert await api.states.wait_applied("box", "a", 5, 0.01)
    assert not await api.states.wait_applied("box", "a", 6, 0.01)
    assert not await api.states.wait_applied("box", "b", 0, 0.01)


def test_a_fast_twin_costs_no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()
    api.row("a")
    monkeypatch.setattr(RowLayout, "describe", lambda *_: pytest.fail("decoded"))
    value = api.states.raw("box", "a")
    api.states.apply([LogRecord("twinstream.box.state", 0, 1, 0, b"a", value, ())] * 100)
    assert api.states.count("box") == 1
