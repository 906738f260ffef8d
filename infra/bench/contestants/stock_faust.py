"""Stock Faust: an agent with a Table that takes one event at a time, written as well as Faust allows.

What speeds it up: raw serializers and one msgspec decode; the state as packed bytes, so that the changelog costs no
encoding; a memory store; no leader topic, no web server, no monitor; few commits; large producer batches.
"""

import asyncio
import logging
from typing import Any

import faust
import msgspec

from infra.bench.contestants.steps import WORK
from infra.bench.job import Job, Stopwatch
from infra.bench.telemetry import Telemetry

TABLE = "state"
_POLL_S = 0.02


class Count:
    """How many records an agent has worked on."""

    done = 0


def application(job: Job) -> faust.App:
    """An application without agents."""
    return faust.App(
        job.group,
        broker=f"kafka://{job.bootstrap_servers}",
        store="memory://",
        datadir=job.data_dir,
        topic_partitions=len(job.ends),
        topic_replication_factor=1,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
        consumer_auto_offset_reset="earliest",
        broker_check_crcs=False,
        broker_commit_every=100_000,
        broker_commit_interval=2.0,
        stream_wait_empty=False,
        stream_buffer_maxsize=16_384,
        producer_acks=1,
        producer_linger=0.05,
        producer_max_batch_size=256 * 1024,
        producer_max_request_size=4 * 1024 * 1024,
    )


def raw_topic(app: faust.App, name: str) -> Any:  # noqa: ANN401 - Faust has no types
    """A topic of bytes."""
    return app.topic(name, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)


def measure(app: faust.App, job: Job, watch: Stopwatch, count: Count) -> None:
    """Report how far it is, and end with a commit of everything."""

    async def until_committed() -> None:
        while count.done < job.records:
            await asyncio.sleep(_POLL_S)
            watch.progress(count.done)
        await app.producer.flush()
        await app.consumer.commit()
        watch.finish(count.done)

    app.task(until_committed)


def run(app: faust.App) -> None:
    """Run Faust's own worker until told to stop."""
    worker = faust.Worker(
        app,
        quiet=True,
        loglevel=logging.WARNING,
        override_logging=False,
        redirect_stdouts=False,
        console_port=None,
        debug=False,
    )
    worker.execute_from_commandline()


def main() -> None:
    """Do the job, one event at a time."""
    job = Job.from_argv()
    watch, count = Stopwatch(job.report), Count()
    app = application(job)
    schema = faust.Schema(key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    table: Any = app.Table(TABLE, schema=schema, partitions=len(job.ends))
    outputs = raw_topic(app, job.outputs)
    decode = msgspec.json.Decoder(Telemetry).decode
    step = WORK[job.kind].step

    async def stepping(stream: Any) -> None:  # noqa: ANN401
        # Its notes on every event would cost time.
        app.sensors.remove(app.monitor)
        async for key, value in stream.items():
            if not count.done:
                watch.start()
            table[key], told = step(table.get(key), decode(value))
            if told:
                await outputs.send(key=key, value=told)
            count.done += 1

    app.agent(raw_topic(app, job.topic))(stepping)
    measure(app, job, watch, count)
    run(app)


if __name__ == "__main__":
    main()
