"""Reading the recorded incubator telemetry as its devices would have sent it."""

import csv
import os
from decimal import Decimal
from pathlib import Path

ROOM_T1 = "20210122_lid_opening_kalman/lid_opening_experiment_jan_2021.csv"
ROOM_T3 = "20230501_calibration_empty_system/20230501_calibration_empty_system.csv"
LID_EVENTS = "20210122_lid_opening_kalman/events.csv"
EARLIEST_NS = 1_500_000_000_000_000_000
"""Stamps below this are seconds: two of the recordings' years have seconds, two have nanoseconds."""


def recordings_folder() -> Path | None:
    """Where the recordings are, or None; they are not part of the repository."""
    named = os.environ.get("TWINSTREAM_RECORDINGS")
    folder = Path(named) if named else Path(__file__).parents[3] / "shared" / "data" / "incubator"
    return folder if (folder / ROOM_T3).is_file() else None


def read_recording(path: Path) -> list[dict[str, int | float | bool]]:
    """Rows with `time` in integer nanoseconds, t1, t2, t3, heater_on and fan_on, oldest first."""
    with path.open(newline="") as file:
        lines = (line for line in file if line.strip())
        return [
            {
                "time": _nanoseconds(row["time"]),
                **{name: float(row[name]) for name in ("t1", "t2", "t3")},
                **{name: row[name] == "True" for name in ("heater_on", "fan_on")},
            }
            for row in csv.DictReader(lines)
        ]


def read_events(path: Path) -> list[tuple[int, str]]:
    """Time in nanoseconds and name of each event."""
    with path.open(newline="") as file:
        return [(int(row["time"]), row["event"]) for row in csv.DictReader(line for line in file if line.strip())]


def _nanoseconds(text: str) -> int:
    stamp = Decimal(text)
    return int(stamp if stamp > EARLIEST_NS else stamp * 10**9)
