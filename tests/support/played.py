"""A recording played through an example's compiled pipeline, as `twinstream try` does."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infra.authoring.recording import read_rows
from infra.authoring.trial import PARTITIONS, Refusal, Trial, play
from schemas.bundle import read_folder
from twins.twin_type import TwinType


@dataclass(frozen=True)
class Played:
    """What came of it.

    Attributes:
        trial: Counts.
        refusals: Every row that would be refused or passed over.
        start_ns: Time of the first row, from which `series` counts.
    """

    trial: Trial
    refusals: list[Refusal]
    start_ns: int

    def series(self, field: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Seconds since the first row, and values, of a stored field."""
        times, values = self.trial.curves[field].points()
        return (np.array(times) - self.start_ns) / 1e9, np.array(values)

    def at(self, field: str, since_start_s: float) -> float:
        """The value that was stored last at a time."""
        times, values = self.series(field)
        return float(values[np.searchsorted(times, since_start_s + 1e-6) - 1])


def played(folder: Path, file: Path, cache: Path) -> Played:
    """Play a file through the type in a folder."""
    bundle = read_folder(folder)
    definition = bundle.definition()
    twin_type = TwinType.load(folder, definition, bundle.hash, PARTITIONS, cache)
    twin_type.warm_up()
    refusals: list[Refusal] = []
    trial = play(twin_type, read_rows(file, definition), refusals.extend)
    return Played(trial, refusals, trial.first_ns or 0)


def columns(file: Path) -> dict[str, NDArray[np.float64]]:
    """A recording's columns as numbers; NaN where there is none, seconds since the first row as `s`."""
    with file.open(encoding="utf-8") as lines:
        names, *rows = [line.rstrip("\n").split(",") for line in lines]
    found = {name: np.array([_number(row[index]) for row in rows]) for index, name in enumerate(names)}
    first = int(rows[0][names.index("time")])
    return found | {"s": np.array([(int(row[names.index("time")]) - first) / 1e9 for row in rows])}


def _number(cell: str) -> float:
    try:
        return float({"true": "1", "false": "0"}.get(cell, cell))
    except ValueError:
        return float("nan")
