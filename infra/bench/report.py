"""Figures of a benchmark: the spread over the repeats, and what people and machines get to see."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from infra.bench.job import Finished

OURS = "twinstream"
COLUMNS = (
    "job",
    "contestant",
    "records/s",
    "lowest",
    "highest",
    "CPU s per million",
    "twinstream is … times as fast",
    "records",
    "runs",
)

_REASON_LENGTH = 160


@dataclass(frozen=True)
class Spread:
    """Lowest, middle and highest of some runs."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Spread of at least one value."""
        found = sorted(values)
        return cls(found[0], median(found), found[-1])

    def as_json(self, digits: int) -> dict[str, float]:
        """The three, rounded."""
        return {
            "minimum": round(self.minimum, digits),
            "median": round(self.median, digits),
            "maximum": round(self.maximum, digits),
        }


@dataclass(frozen=True)
class Result:
    """All runs of one contestant at one job.

    Attributes:
        name: Of the contestant.
        label: What it is.
        job: What it did.
        runs: That came to their end; none where the first failed.
        failed: Why it takes no further turn; empty for one that did all of its runs.
    """

    name: str
    label: str
    job: str
    runs: tuple[Finished, ...]
    failed: str = ""

    @property
    def records_per_second(self) -> Spread:
        """Over the runs, of which there is one at least."""
        return Spread.of(run.records / run.seconds for run in self.runs)

    @property
    def cpu_seconds_per_million(self) -> Spread:
        """Over the runs, of which there is one at least."""
        return Spread.of(run.cpu_seconds / run.records * 1e6 for run in self.runs)

    def exceeded_by(self, ours: "Result | None") -> float | None:
        """How many times as fast another is, by the medians."""
        return ours.records_per_second.median / self.records_per_second.median if ours else None

    def as_json(self, ours: "Result | None") -> dict[str, Any]:
        """The result for machines; it has a run at least."""
        ratio = self.exceeded_by(ours)
        return {
            "name": self.name,
            "job": self.job,
            "label": self.label,
            "records_per_second": self.records_per_second.as_json(0),
            "cpu_seconds_per_million": self.cpu_seconds_per_million.as_json(3),
            "twinstream_is_times_as_fast": None if ratio is None else round(ratio, 3),
            "records": self.runs[0].records,
            "seconds": Spread.of(run.seconds for run in self.runs).as_json(3),
            "repeats": [
                {
                    "records_per_second": round(run.records / run.seconds),
                    "cpu_seconds_per_million": round(run.cpu_seconds / run.records * 1e6, 3),
                    "records": run.records,
                    "seconds": round(run.seconds, 3),
                    "cpu_seconds": round(run.cpu_seconds, 3),
                    "detail": run.detail,
                }
                for run in self.runs
            ],
        }


def as_json(results: Sequence[Result], machine: Mapping[str, Any], versions: Mapping[str, str]) -> dict[str, Any]:
    """The whole report for machines."""
    return {
        "results": [result.as_json(ours_of(results, result.job)) for result in results if result.runs],
        "failed": [
            {"name": result.name, "job": result.job, "runs": len(result.runs), "reason": result.failed}
            for result in results
            if result.failed
        ],
        "machine": dict(machine),
        "versions": dict(versions),
    }


def as_rows(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    """Rows under `COLUMNS` for people."""
    for result in results:
        who = f"{result.name} ({result.label})"
        if result.failed:
            who += f", FAILED in run {len(result.runs) + 1}: {_line(result.failed)}"
        if not result.runs:
            yield (result.job, who, *["-"] * (len(COLUMNS) - 3), "0")
            continue
        rate, ratio = result.records_per_second, result.exceeded_by(ours_of(results, result.job))
        yield (
            result.job,
            who,
            f"{rate.median:,.0f}",
            f"{rate.minimum:,.0f}",
            f"{rate.maximum:,.0f}",
            f"{result.cpu_seconds_per_million.median:.2f}",
            "-" if ratio is None else f"{ratio:.2f}",
            f"{result.runs[0].records:,}",
            str(len(result.runs)),
        )


def ours_of(results: Iterable[Result], job: str) -> Result | None:
    """This project at that job, if it has a run."""
    return next((result for result in results if result.runs and (result.name, result.job) == (OURS, job)), None)


def _line(reason: str) -> str:
    """The beginning of a reason, fit for a cell of a table."""
    line = " ".join(reason.splitlines()[:1]).replace("|", "/")
    return line if len(line) <= _REASON_LENGTH else f"{line[:_REASON_LENGTH]}…"
