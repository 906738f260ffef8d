"""A producer that Kafka lets hang is let go of all the same."""

import asyncio

from aiokafka import AIOKafkaProducer

from streams.log.stopping import let_go


class _Client:
    closed = False

    async def close(self) -> None:
        self.closed = True


async def _hung() -> tuple[AIOKafkaProducer, _Client, "asyncio.Task[None]"]:
    """A producer whose sender waits for a broker for ever."""
    producer, client = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1"), _Client()
    sending = asyncio.create_task(asyncio.sleep(3600))
    await producer.client.close()
    producer.client = client
    producer._sender._sender_task = sending  # noqa: SLF001 - what `stop` waits for

    async def never() -> None:
        await asyncio.sleep(3600)

    producer._message_accumulator.close = never  # noqa: SLF001 - what `stop` waits for
    return producer, client, sending


async def test_what_does_not_stop_in_time_leaves_neither_tasks_nor_connections() -> None:
    producer, client, sending = await _hung()
    assert isinstance(await let_go(producer, 0.01), TimeoutError)
    await asyncio.wait([sending], timeout=1)
    assert sending.cancelled()
    assert client.closed


async def test_who_is_cancelled_while_it_stops_leaves_nothing_either() -> None:
    producer, client, sending = await _hung()
    stopping = asyncio.create_task(let_go(producer, 60.0))
    await asyncio.sleep(0.01)
    stopping.cancel()
    await asyncio.wait([stopping, sending], timeout=1)
    assert (stopping.cancelled(), sending.cancelled(), client.closed) == (True, True, True)
