"""Bare aio-pika: messages of a queue are received, acknowledged each and forgotten."""

import asyncio
import sys
from pathlib import Path

import aio_pika
import msgspec
from aio_pika.abc import AbstractIncomingMessage

from infra.bench.job import Stopwatch


class Consuming(msgspec.Struct, frozen=True):
    """What to receive.

    Attributes:
        url: Of the broker.
        queue: That is there, with the messages in it.
        messages: How many.
        prefetch: Messages that wait for their acknowledgement.
        report: File to write lines to.
    """

    url: str
    queue: str
    messages: int
    prefetch: int
    report: str


async def consume(job: Consuming) -> None:
    """Receive everything once."""
    watch = Stopwatch(job.report)
    done, all_done = 0, asyncio.Event()
    async with await aio_pika.connect(job.url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=job.prefetch)
        queue = await channel.get_queue(job.queue)

        async def arrived(message: AbstractIncomingMessage) -> None:
            nonlocal done
            if not done:
                watch.start()
            await message.ack()
            done += 1
            watch.progress(done)
            if done == job.messages:
                watch.finish(done)
                all_done.set()

        await queue.consume(arrived)
        await all_done.wait()


if __name__ == "__main__":
    asyncio.run(consume(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Consuming)))
