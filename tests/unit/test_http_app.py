import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from support.http_api import Api

from infra.http.app import _MODULES, create_app, openapi_document
from infra.http.models import Health, Ready
from schemas.deployment import Deployment, HistoryItem
from schemas.reasons import Reason

CONTRACT = {
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/api/account"),
    ("get", "/api/account/twins"),
    ("get", "/api/instance"),
    ("get", "/api/status"),
    ("get", "/api/types"),
    ("get", "/api/types/{type}"),
    ("get", "/api/deployments"),
    ("get", "/api/twins"),
    ("get", "/api/twins/{type}/{id}"),
    ("put", "/api/twins/{type}/{id}"),
    ("get", "/api/twins/{type}/{id}/series"),
    ("get", "/api/twins/{type}/{id}/series/buckets"),
    ("get", "/api/twins/{type}/{id}/commands"),
    ("post", "/api/twins/{type}/{id}/requests/{name}"),
    ("get", "/api/deadletters"),
    ("get", "/api/deadletters/number"),
    ("post", "/api/deadletters/redrive"),
    ("post", "/api/deadletters/purge"),
    ("get", "/api/stream"),
    ("get", "/api/tokens"),
    ("post", "/api/tokens"),
    ("delete", "/api/tokens/{token}"),
    ("get", "/api/audit"),
    ("get", "/api/session"),
    ("post", "/api/session"),
    ("delete", "/api/session"),
}


async def test_openapi_describes_exactly_the_contract() -> None:
    async with Api().client() as client:
        schema = (await client.get("/openapi.json")).json()
    found = {(method, path) for path, methods in schema["paths"].items() for method in methods}
    assert found == CONTRACT
    for methods in schema["paths"].values():
        for operation in methods.values():
            assert operation["description"]
            assert "HTTPValidationError" not in str(operation)
            for status, answer in operation["responses"].items():
                kind = "application/problem+json" if int(status) >= 400 else ""
                assert int(status) < 400 or kind in answer["content"]


async def test_every_reference_of_the_openapi_document_resolves() -> None:
    async with Api().client() as client:
        schema = (await client.get("/openapi.json")).json()

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for item in node for found in references(item)] if isinstance(node, list) else []

    names = {reference.removeprefix("#/components/schemas/") for reference in references(schema)}
    assert names <= set(schema["components"]["schemas"])
    assert {"Problem", "Fault", "Twin", "Series"} <= names


async def test_undeployments_stand_beside_the_switches_and_are_none() -> None:
    api = Api()
    retired = Deployment(type="box", project="main", version="1.0.0", hash="ab", chunks=1, time_ns=5, who="bob")
    api.catalogue.switches = [
        HistoryItem(type="box", version="1.0.0", hash="ab", chunks=1, time_ns=3, who="", start={})
    ]
    api.catalogue.retired = [retired]
    async with api.client() as client:
        answer = (await client.get("/api/deployments", params={"type": "box"})).json()
        others = (await client.get("/api/deployments", params={"type": "tank"})).json()
    assert [item["time_ns"] for item in answer["items"]] == [3]
    assert answer["undeployed"] == [{"type": "box", "version": "1.0.0", "hash": "ab", "time_ns": 5, "who": "bob"}]
    assert (others["items"], others["undeployed"]) == ([], [])


async def test_no_page_loads_scripts_from_elsewhere() -> None:
    async with Api().client() as client:
        assert [(await client.get(path)).status_code for path in ("/docs", "/redoc")] == [404, 404]


async def test_readyz_says_everything_that_is_missing() -> None:
    api = Api()
    missing = {"kafka": "not reached yet", "bridge:mqtt": "starting"}

    async def probe() -> dict[str, str]:
        return missing

    loading = ["types"]
    api.change(probe=probe, loading=lambda: "".join(loading))
    async with api.client() as client:
        before = await client.get("/readyz")
        missing.clear()
        between = await client.get("/readyz")
        loading.clear()
        after = await client.get("/readyz")
        alive = await client.get("/healthz")
    assert (before.status_code, between.status_code, after.status_code, alive.status_code) == (503, 503, 200, 200)
    assert [part["name"] for part in before.json()["missing"]] == ["api", "bridge:mqtt", "kafka"]
    assert [part["name"] for part in between.json()["missing"]] == ["api"]
    Ready.model_validate(after.json())
    Health.model_validate(alive.json())


async def test_metrics_count_dead_letters_by_type_and_reason_once_all_were_read() -> None:
    api = Api()
    api.dead("late")
    api.dead("late")
    api.dead("unknown_type", type_name="ghost")
    api.row("a")
    loading = ["dead letters"]
    api.change(loading=lambda: "".join(loading))
    async with api.client() as client:
        before = (await client.get("/metrics")).text
        loading.clear()
        await client.get("/api/twins/box/a")
        after = (await client.get("/metrics")).text
    assert "twinstream_deadletters_total" not in before
    assert 'twinstream_deadletters_total{reason="late",type="box"} 2.0' in after
    assert 'twinstream_deadletters_total{reason="unknown_type",type="ghost"} 1.0' in after
    assert 'twinstream_twins{status="ok",type="box"} 1.0' in after
    assert 'twinstream_api_responses_total{method="GET",route="/api/twins/{type}/{id}",status="200"} 1.0' in after


async def test_metrics_end_with_what_the_workers_count() -> None:
    api = Api()
    api.change(worker_figures=lambda: b"twinstream_records_total 7.0\n")
    async with api.client() as client:
        text = (await client.get("/metrics")).text
    assert text.endswith("\ntwinstream_records_total 7.0\n")


async def test_a_failure_of_ours_is_a_problem_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()

    def broken() -> None:
        message = "secret detail"
        raise RuntimeError(message)

    monkeypatch.setattr(api.catalogue, "types", broken)
    async with api.client() as client:
        answer = await client.get("/api/types")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_two_applications_live_in_one_process() -> None:
    assert isinstance(create_app(Api().services), FastAPI)
    assert isinstance(create_app(Api().services), FastAPI)


async def test_openapi_names_every_dead_letter_reason() -> None:
    async with Api().client() as client:
        schema = (await client.get("/openapi.json")).json()
    assert set(schema["components"]["schemas"]["Reason"]["enum"]) == {reason.value for reason in Reason}


def test_every_operation_has_a_short_name_of_its_own() -> None:
    found = [
        (method, operation["operationId"])
        for path in openapi_document()["paths"].values()
        for method, operation in path.items()
    ]
    names = [name for _, name in found]
    assert len(set(names)) == len(names)
    # What the framework would make up ends with the method: list_twins_api_twins_get.
    assert [
        name for method, name in found if not re.fullmatch(r"[a-z]+_[a-z_]+", name) or name.endswith(f"_{method}")
    ] == []
    assert {"list_twins", "get_twin", "put_twin", "get_series", "send_request", "list_dead_letters"} <= set(names)


async def test_the_document_is_the_same_without_a_running_api() -> None:
    async with Api().client() as client:
        assert (await client.get("/openapi.json")).json() == json.loads(json.dumps(openapi_document()))


def test_no_request_is_handed_to_a_thread_for_what_its_endpoint_needs() -> None:
    # A plain function would be: that costs more than most endpoints do.
    def calls(dependant: Dependant) -> Iterator[object]:
        yield dependant.call
        for below in dependant.dependencies:
            yield from calls(below)

    routes = [route for module in _MODULES for route in module.router.routes if isinstance(route, APIRoute)]
    assert len(routes) > 20
    plain = {call for route in routes for call in calls(route.dependant) if not inspect.iscoroutinefunction(call)}
    assert plain == set()
