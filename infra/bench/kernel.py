"""`twinstream bench kernel`: what the compiled pipeline costs per record, and how long it takes to be ready."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.bench import ten_functions
from infra.bench.jobs import INCUBATOR_FOLDER
from infra.bench.loading import load
from infra.bench.stages import Stages
from infra.bench.workload import Workload
from schemas.clock import Clock, SystemClock
from schemas.errors import SetupError
from twins.admission import ACCEPTED
from twins.columns import Columns
from twins.kernel.run import KernelRun
from twins.payloads import Payloads
from twins.rows import RowTable
from twins.telemetry import TelemetryDecoder
from twins.twin_type import TwinType

COLUMNS = ("figure", "lowest", "median", "highest", "to reach")

_CYCLES = 30
_ARRIVAL_NS = 2**62
_READY_TIMEOUT_S = 300.0
_LIMITS = {
    "incubator_us": 0.5,
    "ten_functions_us": 1.0,
    "compile_s": 10.0,
    "load_s": 0.5,
}
_TITLES = {
    "incubator_us": "incubator, µs per record",
    "ten_functions_us": "ten built-in functions, µs per record",
    "compile_s": "incubator compiled, s",
    "load_s": "incubator from the cache, s",
}


@dataclass(frozen=True)
class Figure:
    """One thing that was measured several times; the smaller the better.

    Attributes:
        limit: What the median must not exceed.
    """

    name: str
    values: tuple[float, ...]
    limit: float

    def as_json(self) -> dict[str, Any]:
        """The figure for machines."""
        return {
            "name": self.name,
            "median": median(self.values),
            "lowest": min(self.values),
            "highest": max(self.values),
            "to_reach": self.limit,
            "reached": median(self.values) <= self.limit,
            "runs": list(self.values),
        }

    def as_row(self) -> tuple[str, ...]:
        """The figure under `COLUMNS` for people."""
        numbers = (min(self.values), median(self.values), max(self.values))
        return (_TITLES[self.name], *(f"{number:.3f}" for number in numbers), f"{self.limit:g}")


def measure(twins: int, repeat: int, clock: Clock | None = None) -> list[Figure]:
    """Measure everything.

    Args:
        twins: Number of twins; each sends a record every 3 s of event time.
        repeat: Runs of each.
        clock: Takes the times.

    Raises:
        SetupError: the incubator type is not there, or it can't be made ready.
    """
    if not INCUBATOR_FOLDER.is_dir():
        message = f"{INCUBATOR_FOLDER} is not there: run from a clone of the repository"
        raise SetupError(message)
    clock = clock or SystemClock()
    found: dict[str, tuple[float, ...]] = {}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinstream-bench-")))
        shown = stack.enter_context(Stages())
        caches = [scratch / f"kernels-{number}" for number in range(repeat)]
        found["compile_s"] = _readied("compiling the incubator", INCUBATOR_FOLDER, caches, shown)
        found["load_s"] = _readied("loading the incubator", INCUBATOR_FOLDER, caches, shown)
        types = {"incubator_us": INCUBATOR_FOLDER, "ten_functions_us": ten_functions.write(scratch / "ten-functions")}
        for name, folder in types.items():
            shown.begin(f"making {folder.name} ready", 1)
            twin_type = load(folder, caches[0])
            work = _Load.of(twin_type, Workload(twins * _CYCLES, twins, 1))
            done = shown.begin(f"stepping {folder.name}", repeat)
            found[name] = tuple(_stepped(twin_type, work, clock, number, done) for number in range(repeat))
    return [Figure(name, found[name], limit) for name, limit in _LIMITS.items()]


def as_json(figures: Iterable[Figure], machine: Mapping[str, Any], versions: Mapping[str, str]) -> dict[str, Any]:
    """The whole report for machines."""
    return {
        "results": [figure.as_json() for figure in figures],
        "machine": dict(machine),
        "versions": dict(versions),
    }


@dataclass(frozen=True)
class _Load:
    """Decoded blocks: slots of the twins and what their records say, a cycle of all twins each."""

    twins: int
    blocks: Sequence[tuple[NDArray[np.int64], Columns]]

    @classmethod
    def of(cls, twin_type: TwinType, workload: Workload) -> "_Load":
        slots: dict[bytes, int] = {}
        decoder = TelemetryDecoder(twin_type.definition)
        blocks = []
        for records in workload.cycles():
            slot = np.array([slots.setdefault(key, len(slots)) for _, key, _ in records], np.int64)
            columns = decoder.decode(Payloads.of(value for _, _, value in records), np.full(len(slot), _ARRIVAL_NS))
            blocks.append((slot, columns))
        return cls(len(slots), blocks)


def _stepped(twin_type: TwinType, work: _Load, clock: Clock, number: int, done: Callable[[int], None]) -> float:
    """Microseconds per record of a pass over the whole load, by new twins."""
    table = RowTable(twin_type.layout)
    for twin in range(work.twins):
        table.add(b"box-%05d" % twin)
    run = KernelRun(twin_type.definition, twin_type.kernels, table)
    offset = records = 0
    spent_s = 0.0
    for slot, columns in work.blocks:
        offsets = np.arange(offset, offset + len(slot))
        began_s = clock.monotonic_s()
        stepped = run.run(slot, offsets, columns)
        spent_s += clock.monotonic_s() - began_s
        if (stepped.status != ACCEPTED).any():
            message = f"{twin_type.definition.name} did not accept every record, so the run does not count"
            raise SetupError(message)
        offset += len(slot)
        records += len(slot)
    done(number + 1)
    return spent_s / records * 1e6


def _readied(title: str, folder: Path, caches: Sequence[Path], shown: Stages) -> tuple[float, ...]:
    """Seconds until a new process has the kernels, its imports left out."""
    done = shown.begin(title, len(caches))
    found = []
    for number, cache in enumerate(caches):
        ran = subprocess.run(  # noqa: S603 - this Python
            [sys.executable, "-m", "infra.bench.loading", str(folder), str(cache)],
            capture_output=True,
            text=True,
            timeout=_READY_TIMEOUT_S,
            check=False,
        )
        if ran.returncode:
            message = f"{title} failed: {(ran.stderr.strip().splitlines() or ['no reason given'])[-1]}"
            raise SetupError(message)
        found.append(float(json.loads(ran.stdout)["seconds"]))
        done(number + 1)
    return tuple(found)
