"""Stock Faust: an agent with a Table that estimates one event at a time, written as well as Faust allows.

It averages the sensors, runs the incubator's Kalman filter and keeps the estimate in its Table with the changelog on.
It has no lid detection, no controller, no commands, no events, no time series and no protection against duplicates,
and delivers at least once.

What speeds it up: raw serializers and one msgspec decode; the state as packed bytes, so that the changelog costs no
encoding; the filter's matrices computed once; a memory store; no leader topic, no web server, no monitor; few commits;
large producer batches.
"""

import asyncio
import logging
import struct
from typing import Any

import faust
import msgspec

from infra.bench.job import Job, Stopwatch
from infra.bench.workload import Telemetry

GROUP = "bench-faust"
_POLL_S = 0.02

_C_AIR, _G_BOX = 267.55929458, 0.5763498
_C_HEATER, _G_HEATER = 329.25376821, 1.67053237
_HEATING_PER_S = 12.15579391 * 1.53551347 / _C_HEATER
_H, _NOISE = 3.0, 0.001

_A, _B, _C = _H * _G_HEATER / _C_HEATER, _H * _G_HEATER / _C_AIR, _H * _G_BOX / _C_AIR
_SCALE = 1.0 / (1.0 + _A + _B + _C + _A * _C)
_F00, _F01, _F10, _F11 = _SCALE * (1.0 + _B + _C), _SCALE * _A, _SCALE * _B, _SCALE * (1.0 + _A)
_Q = _NOISE * _NOISE * _H * _H
_Q00, _Q01, _Q11 = _Q * _H * _H / 4.0, _Q * _H / 2.0, _Q

STATE = struct.Struct("<7d")
FIRST = STATE.pack(21.0, 21.0, 0.001, 0.0, 0.001, 0.0, 0.0)


def estimate(state: bytes, record: Telemetry) -> bytes:
    """One step of the filter; `state` is heater, air, their covariance, the measured temperature and its error."""
    heater, air, p00, p01, p11, _, _ = STATE.unpack(state)
    average = (record.t1 + record.t2) / 2.0
    heating = _H * _HEATING_PER_S if record.heater_on else 0.0
    room = _C * record.t3
    heater, air = (
        _F00 * heater + _F01 * air + _F00 * heating + _F01 * room,
        _F10 * heater + _F11 * air + _F10 * heating + _F11 * room,
    )
    a00, a01 = _F00 * p00 + _F01 * p01, _F00 * p01 + _F01 * p11
    a10, a11 = _F10 * p00 + _F11 * p01, _F10 * p01 + _F11 * p11
    p00, p01, p11 = a00 * _F00 + a01 * _F01 + _Q00, a00 * _F10 + a01 * _F11 + _Q01, a10 * _F10 + a11 * _F11 + _Q11
    s = p11 + _NOISE
    innovation = average - air
    heater += p01 * innovation / s
    air += p11 * innovation / s
    p00, p01, p11 = p00 - p01 * p01 / s, p01 - p01 * p11 / s, p11 - p11 * p11 / s
    return STATE.pack(heater, air, p00, p01, p11, average, average - air)


def build(job: Job, watch: Stopwatch) -> faust.App:
    """The application."""
    app = faust.App(
        GROUP,
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
    source = app.topic(job.topic, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)
    schema = faust.Schema(key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    table: Any = app.Table("estimates", schema=schema, partitions=len(job.ends))
    decode = msgspec.json.Decoder(Telemetry).decode
    done = 0

    async def estimating(stream: Any) -> None:  # noqa: ANN401
        nonlocal done
        # Its notes on every event would cost time.
        app.sensors.remove(app.monitor)
        async for key, value in stream.items():
            if not done:
                watch.start()
            table[key] = estimate(table.get(key) or FIRST, decode(value))
            done += 1

    async def until_committed() -> None:
        while done < job.records:
            await asyncio.sleep(_POLL_S)
            watch.progress(done)
        await app.producer.flush()
        await app.consumer.commit()
        watch.finish(done)

    app.agent(source)(estimating)
    app.task(until_committed)
    return app


def main() -> None:
    """Run Faust's own worker until told to stop."""
    job = Job.from_argv()
    app = build(job, Stopwatch(job))
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


if __name__ == "__main__":
    main()
