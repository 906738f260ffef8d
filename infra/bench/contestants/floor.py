"""The floor: consume and decode with aiokafka and msgspec, and nothing else."""

import asyncio

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.bench.job import Job, Stopwatch
from infra.bench.telemetry import Telemetry

_TIMEOUT_MS = 100


async def consume(job: Job) -> None:
    """Read every record once and decode its value; commits nothing."""
    watch = Stopwatch(job.report)
    decode = msgspec.json.Decoder(Telemetry).decode
    partitions = [TopicPartition(job.topic, number) for number in range(len(job.ends))]
    done = 0
    consumer = AIOKafkaConsumer(bootstrap_servers=job.bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while done < job.records:
            fetched = await consumer.getmany(timeout_ms=_TIMEOUT_MS)
            if fetched:
                watch.start()
            for records in fetched.values():
                for record in records:
                    decode(record.value)
                done += len(records)
            watch.progress(done)
        watch.finish(done)
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(consume(Job.from_argv()))
