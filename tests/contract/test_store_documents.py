"""What every document store does, over memory and over servers of MongoDB's protocol."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.documents import Collection, Document, DocumentReader, DocumentSink
from connectors.memory.stores import MemoryDocumentStore
from connectors.mongo.store import MongoStore
from connectors.settings import MetadataSettings
from connectors.stores import LogPosition, StoreRefusedError

TWINS, COMMANDS, TYPES = Collection.TWINS, Collection.COMMANDS, Collection.TYPES


@dataclass
class Store:
    sink: DocumentSink
    reader: DocumentReader

    async def ids(self, collection: Collection, limit: int, **wanted: str) -> list[list[str]]:
        """The ids of every page."""
        pages = []
        after: str | None = None
        while True:
            page = await self.reader.list(collection, after=after, limit=limit, **wanted)
            pages.append([item["id"] for item in page.items])
            after = page.next
            if after is None:
                return pages


@pytest_asyncio.fixture(
    params=["memory", pytest.param("nx27017", id="nx-27017"), pytest.param("secantus", marks=pytest.mark.system)],
)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            memory = await stack.enter_async_context(MemoryDocumentStore())
            yield Store(memory, memory)
        else:
            own = MetadataSettings(url=request.getfixturevalue(request.param).url, database=f"test-{uuid.uuid4().hex}")
            mongo = await stack.enter_async_context(MongoStore(own))
            yield Store(mongo, mongo)


def twin(name: str, revision: int, *, type_name: str = "m", **more: Any) -> Document:
    body = {"id": name, "type": type_name, "parameters": {}, "tags": {}, **more}
    return Document(id=f"{type_name}/{name}", revision=revision, newest=body)


def command(name: str, issued_ns: int, *, of: str = "a", type_name: str = "m") -> Document:
    fixed = {"id": name, "type": type_name, "twin": of, "name": "heater", "value": True, "issued_ns": issued_ns}
    return Document(id=name, revision=0, newest={"status": "issued"}, fixed=fixed)


def status(name: str, revision: int, word: str) -> Document:
    return Document(id=name, revision=revision, newest={"status": word}, fixed={"id": name, f"{word}_ns": revision})


async def test_documents_come_back_with_every_kind_of_value(store: Store) -> None:
    parameters = {
        "one": 1.0,
        "int": 1,
        "yes": True,
        "text": "é\u2028'\"$",
        "ns": 1_690_000_000_000_000_001,
        "min": -(2**63),
    }
    tags = {"a.b": "1", "$x": "2", "": "3"}
    await store.sink.upsert(TWINS, [twin("a", 1, parameters=parameters, tags=tags, nested=[{"n": 2**62}])])
    found = await store.reader.get(TWINS, "m/a")
    assert found == {
        "id": "a", "type": "m", "revision": 1, "parameters": parameters, "tags": tags, "nested": [{"n": 2**62}],
    }  # fmt: skip
    assert isinstance(found["parameters"]["one"], float)
    assert found["parameters"]["yes"] is True
    assert msgspec.json.decode(msgspec.json.encode(found)) == found


async def test_what_is_absent_is_none(store: Store) -> None:
    assert await store.reader.get(TWINS, "m/a") is None
    assert await store.ids(TWINS, 10) == [[]]
    assert await store.reader.count(TWINS) == 0


async def test_an_older_revision_never_overwrites_a_newer_one(store: Store) -> None:
    await store.sink.upsert(TWINS, [twin("a", 5, v=5)])
    await store.sink.upsert(TWINS, [twin("a", 4, v=4), twin("b", 1, v=1)])
    assert (await store.reader.get(TWINS, "m/a") or {})["v"] == 5
    assert (await store.reader.get(TWINS, "m/b") or {})["v"] == 1
    await store.sink.upsert(TWINS, [twin("a", 6, v=6), twin("b", 0, v=0)])
    assert (await store.reader.get(TWINS, "m/a") or {}) == {
        "id": "a", "type": "m", "parameters": {}, "tags": {}, "v": 6, "revision": 6,
    }  # fmt: skip
    assert (await store.reader.get(TWINS, "m/b") or {})["v"] == 1


async def test_of_equal_revisions_the_last_written_holds(store: Store) -> None:
    await store.sink.upsert(TWINS, [twin("a", 5, v=1)])
    await store.sink.upsert(TWINS, [twin("a", 5, v=2)])
    assert (await store.reader.get(TWINS, "m/a") or {})["v"] == 2


async def test_removed_keys_inside_a_value_are_gone(store: Store) -> None:
    await store.sink.upsert(TWINS, [twin("a", 1, parameters={"x": 1, "y": 2})])
    await store.sink.upsert(TWINS, [twin("a", 2, parameters={"y": 3})])
    assert (await store.reader.get(TWINS, "m/a") or {})["parameters"] == {"y": 3}


async def test_several_changes_of_one_document_in_one_call_end_at_the_highest_revision(store: Store) -> None:
    await store.sink.upsert(TWINS, [twin("a", 1, v=1), twin("a", 3, v=3), twin("b", 1, v=1), twin("a", 2, v=2)])
    assert (await store.reader.get(TWINS, "m/a") or {})["v"] == 3
    assert await store.reader.count(TWINS) == 2


async def test_a_deleted_document_is_gone_and_may_begin_again_at_a_lower_revision(store: Store) -> None:
    await store.sink.upsert(TWINS, [twin("a", 9, v=9)])
    await store.sink.delete(TWINS, ["m/a", "m/never"])
    assert await store.reader.get(TWINS, "m/a") is None
    await store.sink.upsert(TWINS, [twin("a", 1, v=1)])
    assert (await store.reader.get(TWINS, "m/a") or {})["v"] == 1


async def test_nothing_to_do_is_no_error(store: Store) -> None:
    await store.sink.upsert(TWINS, [])
    await store.sink.delete(TWINS, [])


_changes = [command("c", 7), status("c", 1, "sent"), status("c", 4, "acked"), status("c", 2, "expired")]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(_changes), repeats=st.lists(st.sampled_from(_changes), max_size=4), cut=st.integers(1, 8))
async def test_the_order_of_changes_does_not_matter(
    store: Store, order: list[Document], repeats: list[Document], cut: int
) -> None:
    await store.sink.delete(COMMANDS, ["c"])
    changes = [*order, *repeats]
    for at in range(0, len(changes), cut):
        await store.sink.upsert(COMMANDS, changes[at : at + cut])
    assert await store.reader.get(COMMANDS, "c") == {
        "id": "c", "type": "m", "twin": "a", "name": "heater", "value": True, "issued_ns": 7, "status": "acked",
        "sent_ns": 1, "acked_ns": 4, "expired_ns": 2, "revision": 4,
    }  # fmt: skip


async def test_what_events_told_of_a_command_is_seen_once_the_command_itself_is_there(store: Store) -> None:
    told = Document(id="c", revision=4, newest={"status": "acked"}, fixed={"acked_ns": 4})
    await store.sink.upsert(COMMANDS, [told, command("d", 5)])
    assert await store.reader.get(COMMANDS, "c") is None
    assert await store.ids(COMMANDS, 1) == [["d"]]
    assert await store.reader.count(COMMANDS) == 1
    await store.sink.upsert(COMMANDS, [command("c", 7)])
    found = await store.reader.get(COMMANDS, "c") or {}
    assert (found["status"], found["acked_ns"], found["revision"]) == ("acked", 4, 4)
    assert await store.ids(COMMANDS, 1) == [["c"], ["d"]]
    assert await store.reader.count(COMMANDS, type_name="m") == 2


async def test_writers_that_race_end_at_the_highest_revision(store: Store) -> None:
    async def write(seed: int) -> None:
        revisions = list(range(10))
        random.Random(seed).shuffle(revisions)
        for revision in revisions:
            await store.sink.upsert(TWINS, [twin(f"r{n}", revision, v=revision) for n in range(5)])

    await asyncio.gather(*(write(seed) for seed in range(4)))
    page = await store.reader.list(TWINS)
    assert [(item["id"], item["v"]) for item in page.items] == [(f"r{n}", 9) for n in range(5)]


async def test_twins_are_listed_by_id_in_pages(store: Store) -> None:
    names = [f"t{n:02}" for n in range(7)]
    other = [twin(name, 1, type_name="other") for name in names]
    await store.sink.upsert(TWINS, [*other, *(twin(name, 1) for name in reversed(names))])
    assert await store.ids(TWINS, 3, type_name="m") == [names[:3], names[3:6], names[6:]]
    assert await store.ids(TWINS, 7, type_name="m") == [names]
    assert await store.ids(TWINS, 100) == [names + names]
    assert await store.reader.count(TWINS) == 14
    assert await store.reader.count(TWINS, type_name="m") == 7
    page = await store.reader.list(TWINS, after="m/t04")
    assert page.items[0]["id"] == "t05"


async def test_types_are_listed_by_id(store: Store) -> None:
    documents = [Document(id=name, revision=1, newest={"id": name, "type": name}) for name in ("b", "a", "p-a")]
    await store.sink.upsert(TYPES, documents)
    assert await store.ids(TYPES, 2) == [["a", "b"], ["p-a"]]


async def test_commands_are_listed_newest_first_in_pages(store: Store) -> None:
    commands = [command(f"c{n}", 1_690_000_000_000_000_000 + n // 2, of="a" if n % 4 else "b") for n in range(12)]
    random.Random(1).shuffle(commands)
    await store.sink.upsert(COMMANDS, [*commands, command("x", 5, type_name="other")])
    expected = sorted(
        (change.id for change in commands if change.fixed["twin"] == "a"),
        key=lambda name: int(name[1:]) // 2 * 100,
        reverse=True,
    )
    pages = await store.ids(COMMANDS, 2, type_name="m", twin="a")
    assert [len(page) for page in pages] == [2] * (len(expected) // 2) + [1] * (len(expected) % 2)
    flat = [name for page in pages for name in page]
    assert sorted(flat) == sorted(expected)
    issued = {change.id: (change.fixed["issued_ns"], change.id) for change in commands}
    assert flat == sorted(flat, key=lambda name: issued[name], reverse=True)
    assert await store.ids(COMMANDS, 100, type_name="other") == [["x"]]


@pytest.mark.parametrize("wrong", ["", "x", "1", "x/y", "99999999999999999999999/y", "-/y", "9223372036854775808/y"])
async def test_a_page_that_can_not_be_is_an_error(store: Store, wrong: str) -> None:
    with pytest.raises(ValueError, match="page of commands"):
        await store.reader.list(COMMANDS, after=wrong)
    with pytest.raises(ValueError, match="limit"):
        await store.reader.list(TWINS, limit=0)


@pytest.mark.slow
async def test_large_batches_are_applied_whole(store: Store) -> None:
    await store.sink.upsert(TWINS, [twin(f"t{n:05}", 1) for n in range(1100)])
    assert await store.reader.count(TWINS) == 1100
    await store.sink.upsert(TWINS, [twin(f"t{n:05}", 1 - n % 2, v="new") for n in range(1100)])
    assert sum("v" in item for item in (await store.reader.list(TWINS, limit=5000)).items) == 550
    await store.sink.delete(TWINS, [f"m/t{n:05}" for n in range(1100)])
    assert await store.reader.count(TWINS) == 0


async def test_a_document_that_can_not_be_stored_is_refused_alone(store: Store) -> None:
    if isinstance(store.sink, MemoryDocumentStore):
        return  # a dictionary can hold anything
    bad = Document(id="m/x", revision=1, newest={"n": 2**64}, position=LogPosition("t", 3, 14))
    path = Document(id="m/y", revision=1, newest={"a.b": 1}, position=LogPosition("t", 3, 15))
    with pytest.raises(StoreRefusedError) as caught:
        await store.sink.upsert(TWINS, [twin("a", 1), bad, path, twin("b", 1)])
    assert [refusal.position.offset for refusal in caught.value.refusals] == [14, 15]
    assert caught.value.remaining == ()
    assert await store.ids(TWINS, 10) == [["a", "b"]]
