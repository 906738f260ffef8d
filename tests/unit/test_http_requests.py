import pytest
from support.http_api import Api

from infra.http.models import Accepted

PATH = "/api/twins/box/a/requests/"


@pytest.fixture
def api() -> Api:
    api = Api()
    api.row("a")
    return api


async def test_a_request_becomes_one_record_of_the_input_topic(api: Api) -> None:
    async with api.client() as client:
        answer = await client.post(PATH + "target", json={"celsius": 30, "why": "plan"})
    (written,) = api.writer.written
    accepted = Accepted.model_validate(answer.json())
    assert answer.status_code == 202
    assert (accepted.partition, accepted.offset) == (written.partition, written.offset)
    assert (written.topic, written.key) == ("twinstream.box.telemetry", b"a")
    assert written.value == {"celsius": 30, "why": "plan"}
    assert written.headers["ts-id"] == accepted.id.encode()
    assert (written.headers["ts-kind"], written.headers["ts-name"]) == (b"request", b"target")
    assert written.headers["ts-source"] == b"http:/api/twins/box/a/requests/target"


@pytest.mark.parametrize("arguments", [{"celsius": 99}, {"celsius": -1.5}, {"celsius": 3, "why": "whim"}])
async def test_a_value_out_of_range_is_left_to_the_worker(api: Api, arguments: dict[str, object]) -> None:
    async with api.client() as client:
        assert (await client.post(PATH + "target", json=arguments)).status_code == 202
    assert api.writer.written[0].value == arguments


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b"{}", ["#/celsius"]),
        (b'{"celsius": "30"}', ["#/celsius"]),
        (b'{"celsius": true}', ["#/celsius"]),
        (b'{"celsius": null}', ["#/celsius"]),
        (b'{"celsius": [30]}', ["#/celsius"]),
        (b'{"celsius": NaN}', ["#/celsius"]),
        (b'{"celsius": 1e999}', ["#/celsius"]),
        (b'{"celsius": 100000000000000000000}', ["#/celsius"]),
        (b'{"celsius": 3, "why": 4, "who": "me"}', ["#/why", "#/who"]),
        (b'"celsius"', ["#"]),
        (b"", ["#/celsius"]),
        (b"[]", ["#"]),
    ],
)
async def test_arguments_of_the_wrong_name_or_type_are_refused(api: Api, body: bytes, pointers: list[str]) -> None:
    async with api.client(headers={"content-type": "application/json"}) as client:
        answer = await client.post(PATH + "target", content=body)
    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == pointers
    assert api.writer.written == []


async def test_a_request_without_a_body_has_no_arguments_and_is_still_no_form_of_another_page(api: Api) -> None:
    async with api.client() as client:
        asked = await client.post(PATH + "reset", headers={"content-type": "application/json"})
        form = await client.post(PATH + "reset", headers={"content-type": "application/x-www-form-urlencoded"})
        bare = await client.post(PATH + "reset")
    assert (asked.status_code, form.status_code, bare.status_code) == (202, 415, 415)
    assert [written.value for written in api.writer.written] == [{}]


async def test_built_in_requests_need_no_declaration(api: Api) -> None:
    async with api.client() as client:
        for name in ("reset", "release"):
            assert (await client.post(PATH + name, json={})).status_code == 202


async def test_an_unknown_request_twin_or_type_is_a_404(api: Api) -> None:
    async with api.client() as client:
        kinds = [
            (await client.post(path, json={"celsius": 30})).json()["type"].rpartition(":")[2]
            for path in (
                PATH + "none",
                "/api/twins/box/b/requests/target",
                "/api/twins/none/a/requests/target",
            )
        ]
    assert kinds == ["unknown-request", "unknown-twin", "unknown-type"]
    assert api.writer.written == []
