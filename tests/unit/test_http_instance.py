"""The instance behind the API: where its log is, and what its roles are doing."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest
from support.http_api import Api

from infra.http.models import RoleItem, Status
from infra.http.shared_look import FRESH_S, SharedLook
from infra.registry import Presence, Registry
from infra.roles.api import kafka_address
from infra.settings import KafkaSettings
from infra.status import InstanceStatus, RoleStatus, status_of
from schemas.clock import ManualClock


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
    api.change(status=SharedLook(lambda: status_of(registry)))
    async with api.client() as client:
        found = (await client.get("/api/status")).json()
    near = msgspec.to_builtins(status_of(registry))
    assert found == {"items": near.pop("roles"), "next": None} | near
    assert [role["name"] for role in found["items"]] == ["sink:metadata"]


async def test_all_who_ask_within_a_second_share_one_look_at_the_roles() -> None:
    looks, clock = 0, ManualClock()

    def look() -> InstanceStatus:
        nonlocal looks
        looks += 1
        time.sleep(0.05)
        return InstanceStatus(data_dir=str(looks), running=True, ready=True, url="", roles=[])

    shared = SharedLook(look, clock)
    impatient = asyncio.create_task(shared())
    await asyncio.sleep(0)
    impatient.cancel()
    assert {found.data_dir for found in await asyncio.gather(*(shared() for _ in range(5)))} == {"1"}
    clock.advance(FRESH_S - 0.1)
    assert (await shared()).data_dir == "1"
    clock.advance(0.2)
    assert (await shared()).data_dir == "2"
    assert looks == 2


async def test_what_was_seen_is_as_old_as_the_look_at_its_beginning() -> None:
    looks, clock = 0, ManualClock()

    def look() -> InstanceStatus:
        nonlocal looks
        looks += 1
        clock.advance(0.6)
        return InstanceStatus(data_dir=str(looks), running=True, ready=True, url="", roles=[])

    shared = SharedLook(look, clock)
    assert (await shared()).data_dir == "1"
    clock.advance(0.3)
    assert (await shared()).data_dir == "1"
    clock.advance(0.2)
    assert (await shared()).data_dir == "2"


async def test_a_look_that_fails_is_made_again() -> None:
    fails = True

    def look() -> InstanceStatus:
        if fails:
            message = "the run files can't be read"
            raise OSError(message)
        return InstanceStatus(data_dir="here", running=True, ready=True, url="", roles=[])

    shared = SharedLook(look, ManualClock())
    with pytest.raises(OSError, match="run files"):
        await shared()
    fails = False
    assert (await shared()).data_dir == "here"


def test_openapi_names_every_field_of_the_status() -> None:
    assert tuple(RoleItem.model_fields) == RoleStatus.__struct_fields__
    assert {*Status.model_fields} - {"items", "next"} == {*InstanceStatus.__struct_fields__} - {"roles"}
