"""`twinstream bench gate`: whether the engine became dearer, by its cost against that of bare consuming.

The ratio of two CPU times of one run depends far less on the machine than either; what is left of that, and of what
else runs, is what the margin is for.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from infra.bench.jobs import FOLDERS, contestants_of
from infra.bench.peers import BENCHMARKS
from infra.bench.processor import measure as contest
from infra.bench.report import OURS, Result
from infra.bench.workload import Workload
from schemas.errors import SetupError

FILE = BENCHMARKS / "gate.json"
COLUMNS = ("job", "CPU per record, floor = 1", "committed", "most", "verdict")

_FLOOR = "floor"
_RECORDS, _TWINS, _PARTITIONS = 250_000, 2_000, 8
_ROUNDS_LEAST, _ROUNDS_MOST = 2, 6


class Committed(msgspec.Struct, frozen=True):
    """What is asked.

    Attributes:
        margin: How much higher a ratio may be, as a share of it.
        cost: CPU time per record of this engine against the floor's, by job.
    """

    margin: float
    cost: dict[str, float]


@dataclass(frozen=True)
class Verdict:
    """One job.

    Attributes:
        job: Its name.
        cost: CPU time per record, the floor's being 1; the cheapest run of each.
        committed: What it was when it was committed.
        most: What it may be.
    """

    job: str
    cost: float
    committed: float
    most: float

    @property
    def kept(self) -> bool:
        """Whether it is not too dear."""
        return self.cost <= self.most

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        found = {"cost": round(self.cost, 3), "committed": self.committed, "most": round(self.most, 3)}
        return {"job": self.job, **found, "kept": self.kept}

    def as_row(self) -> tuple[str, ...]:
        """For people, under `COLUMNS`."""
        numbers = (f"{self.cost:.2f}", f"{self.committed:.2f}", f"{self.most:.2f}")
        return self.job, *numbers, "ok" if self.kept else "TOO DEAR"


async def measure(*, thorough: bool = False) -> list[Verdict]:
    """Run both jobs, shortly, until no ratio is too high, six times at most.

    What got dearer is dear every time; what else a machine does makes a run dear, never cheap. So the cheapest run of
    each contestant counts, and more runs are made while that is not enough.

    Args:
        thorough: Whether all six are made in any case, for figures to be committed.

    Raises:
        SetupError: there is nothing to compare with, or a contestant failed.
    """
    asked = read(FILE)

    def enough(results: Sequence[Result]) -> bool:
        if any(result.failed for result in results):
            return True
        least, most = min(len(one.runs) for one in results), max(len(one.runs) for one in results)
        if thorough or least < most or least < _ROUNDS_LEAST:
            return False
        return all(verdict.kept for verdict in judge(results, asked))

    workload = Workload(_RECORDS, _TWINS, _PARTITIONS)
    chosen = contestants_of(f"{OURS},{_FLOOR}")
    results = await contest(chosen, tuple(FOLDERS), workload, repeat=_ROUNDS_MOST, each_turn=enough)
    if failed := [result for result in results if result.failed]:
        message = f"{failed[0].job}: {failed[0].name} failed: {failed[0].failed}"
        raise SetupError(message)
    return judge(results, asked)


def read(file: Path) -> Committed:
    """What is asked.

    Raises:
        SetupError: the file is not there.
    """
    if not file.is_file():
        message = f"{file} is not there: run from a clone of the repository"
        raise SetupError(message)
    return msgspec.json.decode(file.read_bytes(), type=Committed)


def judge(results: Sequence[Result], asked: Committed) -> list[Verdict]:
    """Compare results with what is asked."""
    cheapest = {(result.job, result.name): result.cpu_seconds_per_million.minimum for result in results}
    return [
        Verdict(job, cheapest[job, OURS] / cheapest[job, _FLOOR], committed, committed * (1.0 + asked.margin))
        for job, committed in asked.cost.items()
    ]


def write(verdicts: Sequence[Verdict], file: Path = FILE) -> None:
    """Ask for what was measured from now on, with the same margin."""
    found = {"margin": read(file).margin, "cost": {verdict.job: round(verdict.cost, 2) for verdict in verdicts}}
    file.write_text(json.dumps(found, indent=2) + "\n")
