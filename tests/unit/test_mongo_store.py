"""Documents over MongoDB's protocol at its edges: absence, access, errors of single documents."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.common import MIN_HEARTBEAT_INTERVAL
from pymongo.errors import AutoReconnect, BulkWriteError, OperationFailure

from connectors.documents import Collection, Document
from connectors.mongo.changes import folded
from connectors.mongo.store import MongoStore
from connectors.settings import MetadataSettings
from connectors.stores import LogPosition, StoreRefusedError, StoreUnavailableError
from schemas.clock import ManualClock
from schemas.errors import SetupError

AWAY = "mongodb://127.0.0.1:1"


def document(revision: int, word: str = "", position: int = 0, *, of: str = "a") -> Document:
    at = LogPosition("t", 0, position)
    return Document(id=of, revision=revision, newest={"v": word or revision}, fixed={"w": word}, position=at)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Exception | None]:
    """What the server answers bulk writes with, one after another; it has the documents `a` and `b`."""
    planned: list[Exception | None] = []

    async def bulk_write(_: Any, __: Sequence[UpdateOne], *, ordered: bool) -> None:
        assert not ordered
        answer = planned.pop(0)
        if answer is not None:
            raise answer

    async def create_indexes(_: Any, __: Any) -> None:
        pass

    async def find(_: Any, wanted: dict[str, Any], __: Any) -> AsyncIterator[dict[str, Any]]:
        for one in wanted["_id"]["$in"]:
            if one in ("a", "b"):
                yield {"_id": one}

    monkeypatch.setattr(AsyncCollection, "bulk_write", bulk_write)
    monkeypatch.setattr(AsyncCollection, "create_indexes", create_indexes)
    monkeypatch.setattr(AsyncCollection, "find", find)
    return planned


def bulk_error(*errors: tuple[int, int], unconfirmed: bool = False) -> BulkWriteError:
    concern = [{"code": 64, "errmsg": "waiting for replication timed out"}] if unconfirmed else []
    failed = [{"index": index, "code": code, "errmsg": "because of _id_"} for index, code in errors]
    return BulkWriteError({"writeErrors": failed, "writeConcernErrors": concern})


async def test_a_server_that_is_away_is_unavailable_and_no_error_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.mongo.client._SELECTION_TIMEOUT_S", 0.1)
    async with MongoStore(MetadataSettings(url="mongodb://me:secret@127.0.0.1:1")) as store:
        for call in (
            store.upsert(Collection.TWINS, [document(1)]),
            store.delete(Collection.TWINS, ["a"]),
            store.get(Collection.TWINS, "a"),
            store.list(Collection.TWINS),
            store.count(Collection.TWINS),
        ):
            with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1") as caught:
                await call
            assert "secret" not in str(caught.value)
        # A connection attempt that is cancelled in this moment would leave its socket to the garbage collector.
        await asyncio.sleep(MIN_HEARTBEAT_INTERVAL + 0.5)


async def test_wrong_credentials_are_a_setup_error(answers: list[Exception | None]) -> None:
    answers.append(OperationFailure("Authentication failed.", 18))
    async with MongoStore(MetadataSettings(url=AWAY)) as store:
        with pytest.raises(SetupError, match=r"metadata\.username"):
            await store.upsert(Collection.TWINS, [document(1)])


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": f"{AWAY},127.0.0.1:2/?directConnection=true"},
        {"url": "mongodb://127.0.0.1:99999"},
        {"url": AWAY, "ca_file": "/nowhere/ca.pem"},
    ],
)
async def test_wrong_settings_are_a_setup_error(wrong: dict[str, str]) -> None:
    async with MongoStore(MetadataSettings.model_validate(wrong)) as store:
        with pytest.raises(SetupError, match=r"metadata\.url"):
            await store.get(Collection.TWINS, "a")


async def test_a_fault_of_the_document_refuses_it_and_one_of_the_server_may_pass(
    answers: list[Exception | None],
) -> None:
    changes = [document(1, position=7, of="a"), document(1, position=8, of="b"), document(2, position=9, of="b")]
    async with MongoStore(MetadataSettings(url=AWAY)) as store:
        answers.append(bulk_error((1, 57)))
        with pytest.raises(StoreRefusedError) as caught:
            await store.upsert(Collection.TWINS, changes)
        assert [refusal.position.offset for refusal in caught.value.refusals] == [8, 9]
        for trouble in (bulk_error((0, 57), (1, 112)), bulk_error((0, 11000), unconfirmed=True), bulk_error()):
            answers.append(trouble)
            with pytest.raises(StoreUnavailableError):
                await store.upsert(Collection.TWINS, changes)


async def refused(store: MongoStore, *changes: Document, collection: Collection = Collection.TWINS) -> list[int]:
    """Offsets of what the store refuses; fails unless it refuses something."""
    with pytest.raises(StoreRefusedError) as caught:
        await store.upsert(collection, changes)
    return [refusal.position.offset for refusal in caught.value.refusals]


async def unavailable(store: MongoStore, *changes: Document, collection: Collection = Collection.TWINS) -> None:
    with pytest.raises(StoreUnavailableError):
        await store.upsert(collection, changes)


A, B = document(1, position=7, of="a"), document(1, position=8, of="b")


async def test_a_document_refused_for_no_known_reason_is_given_up_after_a_minute(
    answers: list[Exception | None],
) -> None:
    clock = ManualClock()
    async with MongoStore(MetadataSettings(url=AWAY), clock) as store:
        for _ in range(10):
            answers.append(bulk_error((1, 8)))
            await unavailable(store, A, B)
            clock.advance(5.9)
        clock.advance(1.1)
        answers.append(bulk_error((1, 8)))
        assert await refused(store, A, B) == [8]


async def test_a_server_that_takes_nothing_has_five_minutes(answers: list[Exception | None]) -> None:
    clock = ManualClock()
    async with MongoStore(MetadataSettings(url=AWAY), clock) as store:
        answers += [bulk_error((0, 8), (1, 8))] * 3
        await unavailable(store, A, B)
        clock.advance(299.0)
        await unavailable(store, A, B)
        clock.advance(1.0)
        assert await refused(store, A, B) == [7, 8]


@pytest.mark.parametrize("between", [None, bulk_error((0, 91), (1, 8)), AutoReconnect("gone")])
async def test_doubts_begin_anew_when_all_is_taken_or_the_server_itself_is_in_trouble(
    answers: list[Exception | None], between: Exception | None
) -> None:
    clock = ManualClock()
    async with MongoStore(MetadataSettings(url=AWAY), clock) as store:
        answers += [bulk_error((1, 8)), between, bulk_error((1, 8)), bulk_error((1, 8))]
        await unavailable(store, A, B)
        clock.advance(59.0)
        if between is None:
            await store.upsert(Collection.TWINS, [A, B])
        else:
            await unavailable(store, A, B)
        clock.advance(59.0)
        await unavailable(store, A, B)
        clock.advance(60.0)
        assert await refused(store, A, B) == [8]


async def test_doubts_about_one_collection_are_none_about_another(answers: list[Exception | None]) -> None:
    clock = ManualClock()
    async with MongoStore(MetadataSettings(url=AWAY), clock) as store:
        answers += [bulk_error((1, 8))] * 3
        await unavailable(store, A, B)
        clock.advance(60.0)
        await unavailable(store, A, B, collection=Collection.TYPES)
        assert await refused(store, A, B) == [8]


@pytest.mark.parametrize("code", [6, 50, 91, 112, 150, 189, 249, 314, 365, 8000, 14031, 16500])
async def test_what_may_pass_is_waited_for_without_limit(answers: list[Exception | None], code: int) -> None:
    clock = ManualClock()
    async with MongoStore(MetadataSettings(url=AWAY), clock) as store:
        for _ in range(5):
            answers.append(bulk_error((1, code)))
            await unavailable(store, A, B)
            clock.advance(3600.0)


async def test_what_pymongo_labels_as_retryable_is_no_fault_of_documents(answers: list[Exception | None]) -> None:
    async with MongoStore(MetadataSettings(url=AWAY)) as store:
        for _ in range(4):
            answers.append(BulkWriteError({**bulk_error((0, 57)).details, "errorLabels": ["RetryableWriteError"]}))
            with pytest.raises(StoreUnavailableError):
                await store.upsert(Collection.TWINS, [document(1)])


async def test_a_taken_id_is_tried_again_without_inserting(answers: list[Exception | None]) -> None:
    async with MongoStore(MetadataSettings(url=AWAY)) as store:
        # The guarded part, then the fixed one.
        answers += [bulk_error((0, 11000)), None, None]
        await store.upsert(Collection.TWINS, [A])
        assert answers == []


async def test_each_record_of_a_change_is_refused_once(answers: list[Exception | None]) -> None:
    async with MongoStore(MetadataSettings(url=AWAY)) as store:
        for trouble in ([bulk_error((0, 121))], [bulk_error((0, 11000))], [None, bulk_error((0, 121))]):
            answers += [bulk_error((0, 11000)), *trouble]
            assert await refused(store, A) == [7]
            assert answers == []


async def test_doubts_about_a_document_that_exists_are_counted_once(answers: list[Exception | None]) -> None:
    clock = ManualClock()
    async with MongoStore(MetadataSettings(url=AWAY), clock) as store:
        for _ in range(5):
            answers += [bulk_error((0, 11000)), bulk_error((0, 999))]
            await unavailable(store, A)
        clock.advance(300.0)
        answers += [bulk_error((0, 11000)), bulk_error((0, 999))]
        assert await refused(store, A) == [7]


async def test_a_document_that_is_not_there_after_a_duplicate_key_is_refused(answers: list[Exception | None]) -> None:
    async with MongoStore(MetadataSettings(url=AWAY)) as store:
        answers += [bulk_error((0, 11000), (1, 11000)), None, None]
        assert await refused(store, A, document(1, position=9, of="c")) == [9]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4))))
def test_folded_changes_end_where_one_after_another_would(steps: list[tuple[int, int]]) -> None:
    changes = [document(revision, f"{at}", at, of=f"d{of}") for at, (of, revision) in enumerate(steps)]
    expected: dict[str, tuple[int, Any, Any]] = {}
    for change in changes:
        revision, value, _ = expected.get(change.id, (-1, None, None))
        newer = change.revision >= revision
        expected[change.id] = (
            max(revision, change.revision), change.newest["v"] if newer else value, change.fixed["w"],
        )  # fmt: skip
    found = folded(changes)
    assert {one.id: (one.revision, one.newest["v"], one.fixed["w"]) for one in found} == expected
    assert sorted(at.offset for one in found for at in one.positions) == list(range(len(changes)))
