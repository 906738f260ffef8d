from typing import Any

import pytest
from support.http_api import Api

from connectors.documents import Collection, Document
from connectors.projection import project
from connectors.stores import Block, LogPosition, StoreUnavailableError
from infra.http.models import CommandList, DeadLetterList, Series, SeriesBuckets
from infra.http.routes import history
from schemas.messages import Cause, Command, encode

SERIES = "/api/twins/box/a/series"


@pytest.fixture
async def api() -> Api:
    api = Api()
    api.row("a")
    lines = "".join(f"box,twin=a mean={time_ns}.5,lid=1 {time_ns}\n" for time_ns in range(1_000, 1_005))
    await api.series.write([Block(LogPosition("twinstream.box.timeseries", 0, 0), lines.encode())])
    return api


async def test_series_are_inclusive_oldest_first_and_carry_the_unit(api: Api) -> None:
    async with api.client() as client:
        answer = await client.get(SERIES, params={"field": "lid"})
        some = await client.get(SERIES, params={"field": "mean", "start": 1001, "stop": 1003, "limit": 2})
        one = await client.get(SERIES, params={"field": "mean", "start": 1004, "stop": 1004})
        none = await client.get(SERIES, params={"field": "mean", "start": 2000})
    Series.model_validate(answer.json())
    assert answer.json() == {"field": "lid", "unit": "", "time_ns": list(range(1_000, 1_005)), "value": [1.0] * 5}
    assert (some.json()["time_ns"], some.json()["value"]) == ([1001, 1002], [1001.5, 1002.5])
    assert (one.json()["time_ns"], none.json()["time_ns"]) == ([1004], [])


@pytest.mark.parametrize(
    ("start", "time_ns"),
    [
        ("1970-01-01T00:00:00.000001002Z", 1002),
        ("1970-01-01T02:00:00.000001002+02:00", 1002),
        ("1970-01-01T02:00:00.000001002 02:00", 1002),
        ("1970-01-01T00:00:01Z", None),
        ("9223372036854775807", None),
    ],
)
async def test_start_may_be_rfc_3339(api: Api, start: str, time_ns: int | None) -> None:
    async with api.client() as client:
        found = (await client.get(SERIES, params={"field": "mean", "start": start})).json()
    assert next(iter(found["time_ns"]), None) == time_ns


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("start", "yesterday"),
        ("stop", "-1"),
        ("start", "1.5"),
        ("start", "9" * 30),
        ("start", "9" * 5000),
        ("start", "\u0665"),
        ("stop", ""),
        ("limit", "100001"),
        ("limit", "0"),
    ],
)
async def test_a_time_or_limit_that_is_none_names_its_parameter(api: Api, parameter: str, value: str) -> None:
    async with api.client() as client:
        answer = await client.get(SERIES, params={"field": "mean", parameter: value})
    assert answer.status_code == 422, answer.text
    assert [fault["parameter"] for fault in answer.json()["errors"]] == [parameter]


async def test_buckets_thin_a_range_out_and_refuse_what_a_series_refuses(api: Api) -> None:
    asked: dict[str, str | int] = {"field": "mean", "start": 1000, "stop": 1004}
    async with api.client() as client:
        answer = await client.get(f"{SERIES}/buckets", params=asked | {"count": 2})
        wrong = await client.get(f"{SERIES}/buckets", params=asked | {"count": 0})
        open_ = await client.get(f"{SERIES}/buckets", params={"field": "mean"})
        turned = await client.get(f"{SERIES}/buckets", params=asked | {"stop": 999})
        unknown = await client.get(f"{SERIES}/buckets", params=asked | {"field": "nothing"})
        late = await client.get(f"{SERIES}/buckets", params=asked | {"start": 2**63 - 1, "stop": 2**63 - 1})
    assert late.json()["time_ns"] == []
    SeriesBuckets.model_validate(answer.json())
    assert answer.json() == {
        "field": "mean",
        "unit": "",
        "width_ns": 3,
        "time_ns": [1000, 1003],
        "low": [1000.5, 1003.5],
        "high": [1002.5, 1004.5],
        "mean": [1001.5, 1004.0],
        "number": [3, 2],
    }
    assert (wrong.status_code, [fault["parameter"] for fault in wrong.json()["errors"]]) == (422, ["count"])
    assert {fault["parameter"] for fault in open_.json()["errors"]} == {"start", "stop"}
    assert (turned.status_code, unknown.status_code) == (422, 404)


async def test_unknown_field_twin_or_type_is_a_404(api: Api) -> None:
    async with api.client() as client:
        for path, field, kind in (
            (SERIES, "t", "unknown-field"),
            (SERIES, "nothing", "unknown-field"),
            ("/api/twins/box/b/series", "mean", "unknown-twin"),
            ("/api/twins/none/a/series", "mean", "unknown-type"),
        ):
            answer = await client.get(path, params={"field": field})
            assert (answer.status_code, answer.json()["type"]) == (404, f"urn:twinstream:problem:{kind}")
        assert (await client.get(SERIES)).status_code == 422
        assert (await client.get(SERIES, params={"field": "mean", "start": 2, "stop": 1})).status_code == 422


async def test_commands_come_newest_first_in_pages_with_their_status(api: Api) -> None:
    documents = [
        Document(
            id=f"c{number}",
            revision=1,
            newest={"status": "sent"},
            fixed={
                "id": f"c{number}",
                "type": "box",
                "twin": twin,
                "name": "heater",
                "value": True,
                "issued_ns": number,
                "expires_ns": 9,
                "cause": {},
                "sent_ns": 7,
            },
        )
        for number, twin in enumerate(["a", "b", "a", "a"])
    ]
    await api.documents.upsert(Collection.COMMANDS, documents)
    path = "/api/twins/box/a/commands"
    async with api.client() as client:
        first = CommandList.model_validate((await client.get(path, params={"limit": 2})).json())
        rest = CommandList.model_validate((await client.get(path, params={"after": first.next})).json())
        wrong = await client.get(path, params={"after": "x"})
        missing = await client.get("/api/twins/box/b/commands")
    assert [item.id for item in first.items] == ["c3", "c2"]
    assert ([item.id for item in rest.items], rest.next) == (["c0"], None)
    assert (first.items[0].status, first.items[0].sent_ns, first.items[0].expired_ns) == ("sent", 7, None)
    assert (wrong.status_code, missing.status_code) == (422, 404)


async def test_a_refused_command_is_listed_with_its_reason(api: Api) -> None:
    refused = Command(
        id="c1", type="box", twin="a", name="heater", value=True, issued_ns=7, expires_ns=9,
        cause=Cause(partition=0, offset=1, definition="d", parameters=0), status="refused",
        reason="interlock lid: not lid",
    )  # fmt: skip
    (step,), _ = project([api.record("twinstream.box.commands", b"a", encode(refused))])
    await api.documents.upsert(step.collection, step.upserted)
    async with api.client() as client:
        answer = (await client.get("/api/twins/box/a/commands")).json()
    (item,) = CommandList.model_validate(answer).items
    assert (item.status, item.reason, item.refused_ns, item.failed_ns) == ("refused", "interlock lid: not lid", 7, None)
    assert answer["items"][0]["revision"] == 2


async def test_a_store_that_is_away_or_silent_is_a_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> None:
        message = "connection refused"
        raise StoreUnavailableError(message)

    async def silent(*_: Any, **__: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(api.series, "series", away)
    monkeypatch.setattr(api.documents, "list", silent)
    assert history.STORE_TIMEOUT_S > 0
    async with api.client() as client:
        for answer in (
            await client.get(SERIES, params={"field": "mean"}),
            await client.get("/api/twins/box/a/commands"),
        ):
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:twinstream:problem:unavailable")
            assert answer.headers["retry-after"] == "5"


async def test_dead_letters_come_newest_first_filtered_and_in_pages() -> None:
    api = Api()
    ids = [api.dead(reason, at_ms=at) for at, reason in ((3, "late"), (1, "late"), (2, "too_large"), (9, "late"))]
    api.dead("late", type_name="other", at_ms=4)
    path = "/api/deadletters"
    async with api.client() as client:
        everything = DeadLetterList.model_validate((await client.get(path)).json())
        late = (await client.get(path, params={"type": "box", "reason": "late", "limit": 2})).json()
        rest = (await client.get(path, params={"type": "box", "reason": "late", "after": late["next"]})).json()
        wrong = await client.get(path, params={"reason": "no_such_reason"})
        place = await client.get(path, params={"after": "x"})
    assert [item.received_ns for item in everything.items] == [9, 4, 3, 2, 1]
    assert [item["id"] for item in late["items"]] == [ids[3], ids[0]]
    assert ([item["id"] for item in rest["items"]], rest["next"]) == ([ids[1]], None)
    assert (wrong.status_code, place.status_code) == (422, 422)
