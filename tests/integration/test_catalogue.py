"""The catalogue on a real log: whatever somebody writes into the definitions ends nobody."""

import asyncio
from pathlib import Path

import pytest

from infra.deployment.switching import put_into_force
from infra.embedded import EmbeddedKafka
from schemas.bundle import read_folder
from schemas.deployment import TYPE, key
from schemas.topics import DEFINITIONS
from streams.log.admin import SHARED_TOPICS, LogAdmin
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter
from twins.catalogue import Catalogue

FOLDER = Path(__file__).parents[1] / "types" / "statistics"

pytestmark = [pytest.mark.kafka]

BAD = {
    b"type/a": b"[" * 100_000,
    b"type/b": b"{",
    b"type/c": b'{"type":"c","project":"main","version":"1","hash":"h","chunks":0,"time_ns":1}',
    b"bundle/h/x": b"\xff",
    b"bundle/h/7": b"\xff",
    b"type/d": b'{"type":"d","project":"main","version":"1","hash":"h","chunks":1,"time_ns":1}',
    b"type/\xff": b"",
}


@pytest.mark.slow
async def test_records_that_mean_nothing_are_passed_over_and_the_next_type_is_known(tmp_path: Path) -> None:
    async with EmbeddedKafka(tmp_path, port=0) as kafka:
        options = KafkaOptions(kafka.bootstrap_servers)
        async with LogAdmin(options) as admin:
            await admin.ensure_topics(SHARED_TOPICS, partitions=1)
        async with LogWriter(options) as writer:
            for bad, value in BAD.items():
                await (await writer.send(DEFINITIONS, bad, value, partition=0))
            await put_into_force(options, read_folder(FOLDER), 1, who="tests")
            async with Catalogue(options) as catalogue, asyncio.timeout(20):
                await catalogue.ready()
                assert list(catalogue.types()) == ["statistics"]
                await (await writer.send(DEFINITIONS, key(TYPE, "statistics"), b"[" * 100_000, partition=0))
                await (await writer.send(DEFINITIONS, key(TYPE, "statistics"), None, partition=0))
                while catalogue.types():
                    await catalogue.changed()
