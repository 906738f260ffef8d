"""The embedded document server: upserts guarded by revision, kept across stops and crashes."""

import os
import signal
from pathlib import Path

import pymongo

from infra.embedded import EmbeddedDocuments


def _upsert(url: str, revision: int) -> None:
    with pymongo.MongoClient[dict[str, object]](url) as client:
        update = pymongo.UpdateOne({"_id": "one"}, {"$set": {"revision": revision}}, upsert=True)
        client["twinstream"]["twins"].bulk_write([update])


def _revision(url: str) -> object:
    with pymongo.MongoClient[dict[str, object]](url) as client:
        found = client["twinstream"]["twins"].find_one({"_id": "one"})
        return found and found["revision"]


async def test_documents_are_kept_across_a_stop_and_a_crash(tmp_path: Path) -> None:
    async with EmbeddedDocuments(tmp_path) as server:
        _upsert(server.url, 1)
    async with EmbeddedDocuments(tmp_path) as server:
        assert _revision(server.url) == 1
        _upsert(server.url, 2)
        os.kill(server.pid, signal.SIGKILL)
        await server.ended()
    async with EmbeddedDocuments(tmp_path) as server:
        assert _revision(server.url) == 2


async def test_log_names_no_document(tmp_path: Path) -> None:
    async with EmbeddedDocuments(tmp_path) as server:
        _upsert(server.url, 4711)
    assert "4711" not in server.log_path.read_text("utf-8")
