"""The instance behind the API: where its log is, and what its roles are doing."""

from pathlib import Path

import msgspec
from support.http_api import Api

from infra.http.models import RoleItem, Status
from infra.registry import Presence, Registry
from infra.roles.api import kafka_address
from infra.settings import KafkaSettings
from infra.status import InstanceStatus, RoleStatus, status_of


async def test_clients_learn_where_the_log_is_and_no_credentials() -> None:
    settings = KafkaSettings.model_validate(
        {"bootstrap_servers": "kafka:9093", "tls": True, "username": "u", "password": "hush", "partitions": 3}
    )
    api = Api()
    api.change(kafka=kafka_address(settings))
    async with api.client() as client:
        found = await client.get("/api/instance")
    assert found.json()["kafka"] == {
        "bootstrap_servers": "kafka:9093",
        "tls": True,
        "partitions": 3,
        "replication": 1,
        "retention_ms": None,
    }
    assert "hush" not in found.text


async def test_status_is_that_of_the_run_files(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    Presence(registry, "sink:metadata").change(ready=True, detail="idle")
    api = Api()
    api.change(status=lambda: status_of(registry))
    async with api.client() as client:
        found = (await client.get("/api/status")).json()
    near = msgspec.to_builtins(status_of(registry))
    assert found == {"items": near.pop("roles"), "next": None} | near
    assert [role["name"] for role in found["items"]] == ["sink:metadata"]


def test_openapi_names_every_field_of_the_status() -> None:
    assert tuple(RoleItem.model_fields) == RoleStatus.__struct_fields__
    assert {*Status.model_fields} - {"items", "next"} == {*InstanceStatus.__struct_fields__} - {"roles"}
