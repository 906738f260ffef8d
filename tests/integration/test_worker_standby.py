"""More workers than partitions: one stands by, which is ready, too."""

import asyncio
from pathlib import Path

import pytest
from support.worker_process import WorkerProcess

from infra.deployment.switching import put_into_force
from infra.embedded import EmbeddedKafka
from infra.registry import Registry
from schemas.bundle import read_folder
from streams.log.client import KafkaOptions

FOLDER = Path(__file__).parents[1] / "types" / "statistics"

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_worker_without_partitions_is_ready_and_says_that_it_stands_by(tmp_path: Path) -> None:
    async with EmbeddedKafka(tmp_path / "kafka", port=0) as kafka:
        options = KafkaOptions(kafka.bootstrap_servers)
        await put_into_force(options, read_folder(FOLDER), 1, who="tests")
        variables = {"TWINSTREAM_KAFKA__PARTITIONS": "1"}
        folders = [tmp_path / name for name in ("first", "second")]
        workers = []
        try:
            for folder in folders:
                workers.append(WorkerProcess("statistics", kafka.bootstrap_servers, folder, **variables))
                async with asyncio.timeout(50):
                    while not workers[-1].joined():
                        assert workers[-1].running(), workers[-1].output()
                        await asyncio.sleep(0.1)
            async with asyncio.timeout(20):
                while (details := sorted(map(_detail, folders)))[1][:8] != "stand-by":  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(0.1)
            assert details[0] == "partitions 0"
        finally:
            for worker in workers:
                worker.end()


def _detail(folder: Path) -> str:
    found = Registry(folder).find("worker:statistics")
    return found.detail if found else ""
