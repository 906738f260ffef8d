"""What a measurement was made on."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from infra.bench.peers import KAFKA_STREAMS, QUIX, TELEGRAF
from infra.embedded.jars import KAFKA_VERSION

_PACKAGES = (
    "twinstream",
    "faust-streaming",
    "aiokafka",
    "msgspec",
    "numba",
    "numpy",
    "orjson",
    "paho-mqtt",
    "aio-pika",
)


def machine() -> dict[str, Any]:
    """This machine, and how busy it is."""
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_1m": round(os.getloadavg()[0], 2),
    }


def cores() -> int:
    """Cores that this process may use, which in a container or under `taskset` are fewer than there are."""
    return len(os.sched_getaffinity(0))


def versions() -> dict[str, str]:
    """Versions of everything that takes part, peers included where they are installed."""
    found = {"python": platform.python_version(), "kafka": KAFKA_VERSION}
    found |= {name: version(name) for name in _PACKAGES}
    if QUIX.is_there:
        found["quixstreams"] = QUIX.version
    if KAFKA_STREAMS.is_there:
        found |= {"kafka-streams": KAFKA_STREAMS.version, "java": _java_version()}
    if TELEGRAF.is_there:
        found["telegraf"] = TELEGRAF.version
    return found


def _java_version() -> str:
    """Of the Java on the path, which Kafka Streams runs on; the embedded Kafka has its own."""
    java = shutil.which("java")
    if java is None:
        return "none"
    told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr  # noqa: S603
    return next(iter(told.split('"')[1:2]), "unknown")


def _cpu_model() -> str:
    """The processor's own name where the system tells it."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
