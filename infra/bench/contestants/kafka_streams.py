"""Kafka Streams: becomes the Java program of `benchmarks/kafka-streams`, and tells it what to do.

What speeds it up: the store in memory with a cache that holds all twins, so that the changelog gets one record per
twin and commit; one thread, which on two cores beside the broker was its best; Jackson's streaming parser; no
checksums; large fetches and producer batches. Its first records, while Java still compiles, do not count.
"""

import os
import shutil
import sys

from infra.bench.job import Job
from infra.bench.peers import KAFKA_STREAMS


def main() -> None:
    """Replace this process by Java."""
    job = Job.from_argv()
    jars = KAFKA_STREAMS.folder / "jars"
    values = {
        "kind": job.kind,
        "bootstrap_servers": job.bootstrap_servers,
        "group": job.group,
        "topic": job.topic,
        "outputs": job.outputs,
        "data_dir": job.data_dir,
        "report": job.report,
        "records": job.records,
        "warm_up": job.warm_up,
        "end_offsets": sum(job.ends),
        "guarantee": sys.argv[2],
    }
    options = ("-Xms1g", "-Xmx1g", "-XX:+UseParallelGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
    arguments = [f"{name}={value}" for name, value in values.items()]
    java = shutil.which("java") or "java"
    os.execv(java, [java, *options, "-cp", f"{jars}/*", "bench.Peer", *arguments])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
