"""Records as changes of documents."""

from itertools import permutations
from typing import Any

import msgspec
import pytest

from connectors.documents import COMMAND_TIMES, Collection
from connectors.memory.stores import MemoryDocumentStore
from connectors.projection import project
from schemas.deployment import Deployment
from schemas.messages import Cause, Command, Event, TwinDocument, encode
from streams.log.record import LogRecord

CAUSE = Cause(partition=0, offset=1, definition="d", parameters=0)
_offset = iter(range(10_000))


def record(kind: str, key: str, value: bytes | None, topic: str = "") -> LogRecord:
    return LogRecord(topic or f"twinstream.p-m.{kind}", 0, next(_offset), 5, key.encode(), value, ())


def twin(revision: int, **tags: str) -> LogRecord:
    document = TwinDocument(
        id="a", type="p-m", project="p", version="1", revision=revision, parameters={"x": 1.5, "on": True}, tags=tags,
        definition="d", created_ns=1, updated_ns=2, status="ok",
    )  # fmt: skip
    return record("metadata", "a", encode(document))


def command(name: str = "heater") -> LogRecord:
    order = Command(id="c1", type="p-m", twin="a", name=name, value=True, issued_ns=7, expires_ns=9, cause=CAUSE)
    return record("commands", "a", encode(order))


def event(name: str, time_ns: int, /, **data: Any) -> LogRecord:
    happened = Event(
        id="e", type="p-m", twin="a", name=name, severity="info", event_time_ns=time_ns, cause=CAUSE, data=data
    )
    return record("events", "a", encode(happened))


async def applied(records: list[LogRecord]) -> MemoryDocumentStore:
    store = MemoryDocumentStore()
    steps, refusals = project(records)
    assert not refusals
    for step in steps:
        await store.delete(step.collection, step.deleted)
        await store.upsert(step.collection, step.upserted)
    return store


async def test_a_twin_document_is_stored_whole_under_type_and_id() -> None:
    store = await applied([twin(3, room="x")])
    assert await store.get(Collection.TWINS, "p-m/a") == {
        "id": "a", "type": "p-m", "project": "p", "version": "1", "revision": 3, "parameters": {"x": 1.5, "on": True},
        "tags": {"room": "x"}, "definition": "d", "created_ns": 1, "updated_ns": 2, "status": "ok", "metadata": {},
    }  # fmt: skip


async def test_a_tombstone_deletes_and_what_follows_begins_anew() -> None:
    gone = record("metadata", "a", None)
    assert await (await applied([twin(3), gone])).get(Collection.TWINS, "p-m/a") is None
    assert await (await applied([gone, twin(3), gone])).get(Collection.TWINS, "p-m/a") is None
    again = await (await applied([twin(9), gone, twin(1, room="y"), gone, twin(2)])).get(Collection.TWINS, "p-m/a")
    assert again is not None
    assert (again["revision"], again["tags"]) == (2, {})


_SENT = event("command_sent", 7, id="c1", name="heater", broker="mqtt", at_ns=11)
_told = [_SENT, event("command_acknowledged", 12, id="c1", name="heater")]


@pytest.mark.parametrize(
    "records", [[command(), *_told], [*_told, command()], [_told[1], command(), *_told, command()]]
)
async def test_a_command_ends_at_its_furthest_status_in_any_order(records: list[LogRecord]) -> None:
    store = await applied(records)
    assert await store.get(Collection.COMMANDS, "p-m/a/c1") == {
        "id": "c1", "type": "p-m", "twin": "a", "name": "heater", "value": True, "issued_ns": 7, "expires_ns": 9,
        "cause": msgspec.to_builtins(CAUSE), "status": "acked", "sent_ns": 11, "acked_ns": 12, "expired_ns": None,
        "refused_ns": None, "failed_ns": None, "reason": None, "revision": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "status"), [(f"command_{status}", status) for status in ("sent", "expired", "refused", "failed")]
)
async def test_each_event_about_a_command_has_its_status(name: str, status: str) -> None:
    store = await applied([command(), event(name, 7, id="c1", name="heater", at_ns=10)])
    found = await store.get(Collection.COMMANDS, "p-m/a/c1") or {}
    assert (found["status"], found[f"{status}_ns"]) == (status, 10)


@pytest.mark.parametrize("order", list(permutations(range(4))))
async def test_what_one_bridge_sent_another_can_not_make_expired(order: tuple[int, ...]) -> None:
    expired, refused = (
        event(f"command_{what}", 7, id="c1", name="heater", broker="amqp", at_ns=30) for what in ("expired", "refused")
    )
    records = [command(), _SENT, expired, refused]
    store = await applied([records[position] for position in order])
    found = await store.get(Collection.COMMANDS, "p-m/a/c1") or {}
    times = {key: value for key, value in found.items() if key in COMMAND_TIMES}
    assert (found["status"], times) == ("sent", {"sent_ns": 11, "expired_ns": None, "refused_ns": None})


@pytest.mark.parametrize("order", list(permutations(range(2))))
async def test_a_command_that_was_refused_by_its_limits_says_why(order: tuple[int, ...]) -> None:
    wanted = Command(
        id="c1", type="p-m", twin="a", name="heater", value=True, issued_ns=7, expires_ns=9, cause=CAUSE,
        status="refused", reason="interlock lid: not lid_open",
    )  # fmt: skip
    told = event("command_refused", 7, id="c1", name="heater", value=1.0, reason="interlock lid: not lid_open")
    records = [record("commands", "a", encode(wanted)), told]
    store = await applied([records[position] for position in order])
    assert await store.get(Collection.COMMANDS, "p-m/a/c1") == {
        "id": "c1", "type": "p-m", "twin": "a", "name": "heater", "value": True, "issued_ns": 7, "expires_ns": 9,
        "cause": msgspec.to_builtins(CAUSE), "status": "refused", "refused_ns": 7,
        "reason": "interlock lid: not lid_open", "expired_ns": None, "revision": 2,
    }  # fmt: skip


@pytest.mark.parametrize("order", list(permutations(range(4))))
async def test_a_sent_command_that_failed_is_acknowledged_when_its_device_says_so(order: tuple[int, ...]) -> None:
    failed = event("command_failed", 8, id="c1", name="heater", reason="superseded: a later command took its place")
    records = [command(), _SENT, failed]
    store = await applied([records[position] for position in order if position < len(records)])
    found = await store.get(Collection.COMMANDS, "p-m/a/c1") or {}
    assert (found["status"], found["failed_ns"], found["sent_ns"]) == ("failed", 8, 11)
    assert found["reason"] == "superseded: a later command took its place"
    store = await applied([[*records, _told[1]][position] for position in order])
    found = await store.get(Collection.COMMANDS, "p-m/a/c1") or {}
    assert (found["status"], found["failed_ns"], found["reason"], found["acked_ns"]) == ("acked", None, None, 12)


async def test_events_alone_make_no_command() -> None:
    store = await applied([*_told, event("command_refused", 10, id="never", name="heater")])
    assert await store.count(Collection.COMMANDS) == 0
    assert (await store.list(Collection.COMMANDS)).items == []
    assert await store.get(Collection.COMMANDS, "p-m/a/c1") is None


async def test_an_acknowledgement_changes_no_command_of_another_twin_or_type() -> None:
    acked = event("command_acknowledged", 12, id="c1", name="heater")
    value = acked.value or b""
    of_other_twin = acked._replace(value=value.replace(b'"twin":"a"', b'"twin":"b"'))
    of_other_type = acked._replace(topic="twinstream.q-m.events", value=value.replace(b'"p-m"', b'"q-m"'))
    store = await applied([of_other_twin, command(), of_other_type])
    (found,) = (await store.list(Collection.COMMANDS)).items
    assert (found["status"], "acked_ns" in found) == ("issued", False)


async def test_other_events_and_parts_of_bundles_change_nothing() -> None:
    part = record("", "bundle/abc/0", b"\x00\xff", topic="twinstream.definitions")
    assert project([event("lid_opened", 1), part]) == ([], [])


async def test_types_are_stored_with_their_deployment_and_an_undeployed_one_stays() -> None:
    deployments = [
        Deployment(type="p-m", project="p", version=version, hash="h", chunks=1, time_ns=at, deployed=deployed)
        for at, version, deployed in ((2, "1", True), (1, "2", False))  # the clock of the second is behind
    ]
    store = await applied([record("", "type/p-m", encode(one), topic="twinstream.definitions") for one in deployments])
    found = await store.get(Collection.TYPES, "p-m") or {}
    assert (found["id"], found["type"], found["version"], found["deployed"]) == ("p-m", "p-m", "2", False)


def test_what_can_not_be_read_is_refused_alone() -> None:
    bad = [
        record("metadata", "a", b"{"),
        record("metadata", "a", b'{"id": "a"}'),
        record("commands", "a", b"\xff"),
        record("events", "a", b"[" * 100_000),
        event("command_sent", 1),
        event("command_sent", 1, id="x" * 1000),
        event("command_sent", 1, id="c1", at_ns="now"),
        event("command_sent", 1, id="c1")._replace(topic="twinstream.other.events"),
        command()._replace(topic="twinstream.other.commands"),
        record("metadata", "a", b"{}")._replace(key=b"\xff"),
    ]
    steps, refusals = project([*bad, command()])
    assert [refusal.position.offset for refusal in refusals] == [one.offset for one in bad]
    assert [step.upserted[0].id for step in steps] == ["p-m/a/c1"]
