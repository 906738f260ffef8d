"""Documents that a real server refuses: each is told alone, whatever the operator made of the collection."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pymongo
import pytest
import pytest_asyncio
from pymongo.database import Database

from connectors.documents import Collection, Document
from connectors.mongo.store import MongoStore
from connectors.settings import MetadataSettings
from connectors.stores import LogPosition, StoreRefusedError

TWINS = Collection.TWINS


@pytest.fixture(params=[pytest.param("nx27017", id="nx-27017"), pytest.param("secantus", marks=pytest.mark.system)])
def database(request: pytest.FixtureRequest) -> Iterator[Database[dict[str, object]]]:
    """A database of its own, as its operator sees it."""
    with pymongo.MongoClient[dict[str, object]](request.getfixturevalue(request.param).url) as client:
        yield client[f"test-{uuid.uuid4().hex}"]


@pytest_asyncio.fixture
async def store(database: Database[dict[str, object]]) -> AsyncIterator[MongoStore]:
    host, port = database.client.address or ("", 0)
    async with MongoStore(MetadataSettings(url=f"mongodb://{host}:{port}", database=database.name)) as made:
        yield made


def _twin(name: str, revision: int, offset: int, serial: int) -> Document:
    newest = {"id": name, "type": "m", "serial": serial, "device_id": serial}
    return Document(id=f"m/{name}", revision=revision, newest=newest, position=LogPosition("t", 0, offset))


async def _refused(store: MongoStore, *documents: Document) -> list[int]:
    with pytest.raises(StoreRefusedError) as caught:
        await store.upsert(TWINS, documents)
    return [refusal.position.offset for refusal in caught.value.refusals]


@pytest.mark.parametrize("key", ["serial", "device_id"])
async def test_a_key_that_another_document_has_in_a_unique_index_refuses_the_document_alone(
    store: MongoStore, database: Database[dict[str, object]], key: str
) -> None:
    database[TWINS].create_index(key, unique=True)
    await store.upsert(TWINS, [_twin("a", 1, 1, serial=1), _twin("b", 1, 2, serial=2)])
    assert await _refused(store, _twin("c", 1, 3, serial=1), _twin("d", 1, 4, serial=4)) == [3]
    assert await _refused(store, _twin("b", 2, 5, serial=4), _twin("a", 2, 6, serial=6)) == [5]
    # An id that is taken by a newer revision is no fault, with such an index neither.
    await store.upsert(TWINS, [_twin("a", 1, 7, serial=7)])
    found = {item["id"]: item["serial"] for item in (await store.list(TWINS)).items}
    assert found == {"a": 6, "b": 2, "d": 4}


async def test_a_document_that_the_collections_validation_refuses_is_told_alone(
    request: pytest.FixtureRequest, store: MongoStore, database: Database[dict[str, object]]
) -> None:
    if "nx-27017" in request.node.callspec.id:
        return  # it validates nothing
    database.create_collection(TWINS, validator={"serial": {"$lt": 10}})
    assert await _refused(store, _twin("a", 1, 1, serial=1), _twin("b", 1, 2, serial=20)) == [2]
    assert [item["id"] for item in (await store.list(TWINS)).items] == ["a"]
