"""InfluxDB's own client as its documentation has it: `Point` objects, written in batches in the background."""

import sys
from pathlib import Path

import msgspec
from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision

from infra.bench.job import Stopwatch
from infra.bench.sink_load import FIELDS, TYPE, values_of

BATCH = 5000
"""What its documentation recommends."""


class Writing(msgspec.Struct, frozen=True):
    """What to write.

    Attributes:
        url: Of the server.
        token: That may write.
        org: Name of the organisation.
        bucket: Name of a bucket that is there.
        lines: How many points.
        twins: Of how many twins.
        report: File to write lines to.
    """

    url: str
    token: str
    org: str
    bucket: str
    lines: int
    twins: int
    report: str


def main() -> None:
    """Write everything once; what is written lies in memory as tuples."""
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Writing)
    rows = list(values_of(job.lines, job.twins))
    watch = Stopwatch(job.report)
    done = 0
    watch.start()
    with InfluxDBClient(job.url, token=job.token, org=job.org) as client:
        options = WriteOptions(batch_size=BATCH, flush_interval=1000)
        with client.write_api(write_options=options) as writer:
            for twin, values, time_ns in rows:
                point = Point(TYPE).tag("twin", twin).time(time_ns, WritePrecision.NS)
                for name, value in zip(FIELDS, values, strict=True):
                    point.field(name, value)
                writer.write(bucket=job.bucket, record=point)
                done += 1
                if done % BATCH == 0:
                    watch.progress(done)
    watch.finish(done)


if __name__ == "__main__":
    main()
