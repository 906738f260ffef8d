"""Quix Streams: a stateful function over a dataframe, RocksDB with its changelog on, written as well as Quix allows.

Runs in an environment of its own. What speeds it up: bytes in, one msgspec decode of a known struct, bytes as state;
commits no more often than by default; large fetches, and producer batches that are not compressed. Its time ends when
Kafka has the offsets of all records, as with every contestant: leaving the group and closing RocksDB come after that.
"""

import logging
import threading
import time

import msgspec
from confluent_kafka import Consumer, TopicPartition
from quixstreams import Application, State

from infra.bench.contestants.steps import WORK
from infra.bench.job import Job, Stopwatch
from infra.bench.telemetry import Telemetry

_STATE = b"s"
_LOOK_S, _TIMEOUT_S = 0.01, 60.0


def finish_when_committed(job: Job, watch: Stopwatch) -> None:
    """Stop the watch as soon as the group has committed the end of every partition."""
    options = {"bootstrap.servers": job.bootstrap_servers, "group.id": job.group, "enable.auto.commit": False}
    consumer = Consumer(options)
    wanted = {number: end for number, end in enumerate(job.ends) if end > job.starts[number]}
    partitions = [TopicPartition(job.topic, number) for number in wanted]
    deadline_s = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline_s:
        found = consumer.committed(partitions, timeout=_TIMEOUT_S)
        if all(place.offset >= wanted[place.partition] for place in found):
            watch.finish(job.records)
            return
        time.sleep(_LOOK_S)


def main() -> None:
    """Do the job and end with a commit."""
    job = Job.from_argv()
    watch = Stopwatch(job.report)
    committing = threading.Thread(target=finish_when_committed, args=(job, watch))
    done = 0

    def processed(_topic: str, _partition: int, _offset: int) -> None:
        nonlocal done
        if not done:
            watch.start()
        done += 1
        if done % 1000 == 0:
            watch.progress(done)
        if done == job.records:
            committing.start()
            app.stop()

    app = Application(
        broker_address=job.bootstrap_servers,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        state_dir=job.data_dir,
        loglevel=logging.WARNING,
        consumer_extra_config={"queued.min.messages": 500_000, "fetch.wait.max.ms": 50, "check.crcs": False},
        producer_extra_config={"linger.ms": 50, "batch.size": 1_000_000, "queue.buffering.max.messages": 1_000_000},
        on_message_processed=processed,
    )
    decode = msgspec.json.Decoder(Telemetry).decode
    step = WORK[job.kind].step

    def stepping(value: bytes, state: State) -> tuple[bytes, ...]:
        new, told = step(state.get_bytes(_STATE), decode(value))
        state.set_bytes(_STATE, new)
        return (told,) if told else ()

    source = app.topic(job.topic, value_deserializer="bytes")
    outputs = app.topic(job.outputs, value_serializer="bytes")
    app.dataframe(source).apply(stepping, stateful=True, expand=True).to_topic(outputs)
    app.run()
    committing.join(_TIMEOUT_S)


if __name__ == "__main__":
    main()
