"""Stock Faust with `take`: an agent that gets up to 1,000 events at once and keeps its state in a dictionary.

Outside of an event a Table refuses to be written, since it would not know the changelog's partition, and what `take`
hands out is outside of every event. So what is kept here is lost with the process, and at a change of partitions: it
is what batching gains, not a way to do the job.
"""

from typing import Any

import msgspec

from infra.bench.contestants.steps import WORK
from infra.bench.contestants.stock_faust import Count, application, measure, raw_topic, run
from infra.bench.job import Job, Stopwatch
from infra.bench.telemetry import Telemetry

_TAKE = 1000
_WITHIN_S = 0.1


def main() -> None:
    """Do the job, but for keeping its state."""
    job = Job.from_argv()
    watch, count = Stopwatch(job.report), Count()
    app = application(job)
    outputs = raw_topic(app, job.outputs)
    decode = msgspec.json.Decoder(Telemetry).decode
    step = WORK[job.kind].step

    async def stepping(stream: Any) -> None:  # noqa: ANN401 - Faust has no types
        app.sensors.remove(app.monitor)
        kept: dict[bytes, bytes] = {}
        async for events in stream.take_events(_TAKE, within=_WITHIN_S):
            watch.start()
            for event in events:
                key = event.key
                kept[key], told = step(kept.get(key), decode(event.value))
                if told:
                    await outputs.send(key=key, value=told)
            count.done += len(events)

    app.agent(raw_topic(app, job.topic))(stepping)
    measure(app, job, watch, count)
    run(app)


if __name__ == "__main__":
    main()
