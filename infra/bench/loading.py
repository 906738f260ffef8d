"""Makes a type's kernels ready in a process of its own and tells how long that took: compiled, or from the cache."""

import json
import sys
from pathlib import Path

from schemas.bundle import read_folder
from schemas.clock import SystemClock
from twins.twin_type import TwinType


def load(folder: Path, cache: Path, partitions: int = 1) -> TwinType:
    """A type, ready to step."""
    bundle = read_folder(folder)
    twin_type = TwinType.load(folder, bundle.definition(), bundle.hash, partitions, cache)
    twin_type.warm_up()
    return twin_type


if __name__ == "__main__":
    clock = SystemClock()
    began_s = clock.monotonic_s()
    load(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.write(json.dumps({"seconds": clock.monotonic_s() - began_s}) + "\n")
