"""The engine on a real Kafka, while workers are killed, frozen, joined and stopped: exactly once, bit for bit."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from support import oracle
from support.plant import START_NS, Plant, made
from support.topics import make_anew

from streams.log.client import KafkaOptions

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
async def plant(kafka: KafkaOptions, tmp_path: Path) -> Plant:
    return await made(KafkaOptions(kafka.bootstrap_servers), tmp_path)


async def test_clean_stop_in_mid_stream_and_start_again_change_nothing(plant: Plant) -> None:
    workers = [plant.worker("first")]
    try:
        async with plant.load():
            await plant.working()
            await plant.joined(workers[0])
            assert await asyncio.to_thread(workers[0].stop) == 0
            assert await plant.lag()
            workers.append(plant.worker("second"))
            await plant.joined(workers[1])
        await plant.drained(workers[1])
        assert await asyncio.to_thread(workers[1].stop) == 0
    finally:
        for worker in workers:
            worker.end()
    await plant.assert_exactly_once()


async def test_kill_join_and_freeze_change_nothing(plant: Plant) -> None:
    workers = [plant.worker("first")]
    try:
        async with plant.load():
            await plant.working()
            workers.append(plant.worker("second"))
            await plant.joined(workers[1])
            await asyncio.sleep(2)
            workers[0].kill()
            workers.append(plant.worker("third"))
            await plant.joined(workers[2])
            await asyncio.sleep(2)
            workers[1].freeze()
            await asyncio.sleep(10)  # past the session timeout of 6 s: the third takes everything over
            workers[1].thaw()
        await plant.drained(*workers[1:])
        assert all(worker.running() for worker in workers[1:])
        for worker in workers[1:]:
            assert await asyncio.to_thread(worker.stop) == 0, worker.output()[-3000:]
    finally:
        for worker in workers:
            worker.end()
    await plant.assert_exactly_once()


async def test_fetches_that_bring_aborted_records_alone_do_not_stop_a_worker(plant: Plant) -> None:
    worker = plant.worker("only")
    try:
        await plant.send(1000, per_second=5000)
        await plant.drained(worker)
        producer = AIOKafkaProducer(transactional_id=f"{plant.type_name}-aborts", **plant.kafka.client_kwargs())
        async with producer:
            for partition in range(8):
                await producer.begin_transaction()
                await producer.send_and_wait(plant.topics.telemetry, b"{}", key=b"no-twin", partition=partition)
                await producer.abort_transaction()
        await plant.drained(worker)
        await plant.send(1000, per_second=5000)
        await plant.drained(worker)
        assert await asyncio.to_thread(worker.stop) == 0
    finally:
        worker.end()
    await plant.assert_exactly_once()


async def test_an_input_that_is_made_anew_under_a_worker_is_read_from_its_beginning(plant: Plant) -> None:
    worker = plant.worker("only")
    try:
        await plant.send(1000, per_second=5000)
        await plant.drained(worker)
        await make_anew(plant.kafka, plant.topics.telemetry, 8)
        await plant.send(200, per_second=5000)
        await plant.drained(worker)
        assert worker.running()
    finally:
        worker.end()
    lines = [key for key in (await oracle.observed(plant.kafka, plant.type_name)).outputs if not key[1]]
    times_ns = {int(line.rpartition(b" ")[2]) for _, _, line in lines}
    assert times_ns == {START_NS + number * 10**6 for number in range(plant.sent)}
