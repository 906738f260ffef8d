"""Figures of a benchmark: medians over the repeats, and what people and machines get to see."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from infra.bench.job import Finished

FAUST = "faust"
COLUMNS = ("contestant", "records/s", "CPU s per million", "times Faust", "records", "runs", "lowest/s", "highest/s")


@dataclass(frozen=True)
class Result:
    """All runs of one contestant."""

    name: str
    label: str
    runs: tuple[Finished, ...]

    @property
    def records_per_second(self) -> float:
        """Median over the runs."""
        return median(map(_rate, self.runs))

    @property
    def cpu_seconds_per_million(self) -> float:
        """Median over the runs."""
        return median(map(_cpu_per_million, self.runs))

    def as_json(self, faust: "Result | None") -> dict[str, Any]:
        """The result for machines."""
        return {
            "name": self.name,
            "records_per_second": round(self.records_per_second),
            "cpu_seconds_per_million": round(self.cpu_seconds_per_million, 3),
            "ratio_to_faust": round(self.records_per_second / faust.records_per_second, 1) if faust else None,
            "records": self.runs[0].records,
            "seconds": round(median(run.seconds for run in self.runs), 3),
            "repeats": [
                {
                    "records_per_second": round(_rate(run)),
                    "cpu_seconds_per_million": round(_cpu_per_million(run), 3),
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
    faust = _faust(results)
    return {
        "results": [result.as_json(faust) for result in results],
        "machine": dict(machine),
        "versions": dict(versions),
    }


def as_rows(results: Sequence[Result]) -> Iterable[tuple[str, ...]]:
    """Rows under `COLUMNS` for people."""
    faust = _faust(results)
    for result in results:
        rates = [_rate(run) for run in result.runs]
        yield (
            f"{result.name} ({result.label})",
            f"{result.records_per_second:,.0f}",
            f"{result.cpu_seconds_per_million:.2f}",
            f"{result.records_per_second / faust.records_per_second:.1f}" if faust else "-",
            f"{result.runs[0].records:,}",
            str(len(rates)),
            f"{min(rates):,.0f}",
            f"{max(rates):,.0f}",
        )


def _faust(results: Iterable[Result]) -> Result | None:
    return next((result for result in results if result.name == FAUST), None)


def _rate(run: Finished) -> float:
    return run.records / run.seconds


def _cpu_per_million(run: Finished) -> float:
    return run.cpu_seconds / run.records * 1e6
