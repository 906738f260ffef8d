"""What a measurement was made on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from infra.embedded.jars import KAFKA_VERSION

_PACKAGES = ("twinstream", "faust-streaming", "aiokafka", "msgspec", "numba", "numpy", "orjson")


def machine() -> dict[str, Any]:
    """This machine, and how busy it is."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_1m": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Versions of everything that takes part."""
    return {"python": platform.python_version(), "kafka": KAFKA_VERSION} | {name: version(name) for name in _PACKAGES}


def _cpu_model() -> str:
    """The processor's own name where the system tells it."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
