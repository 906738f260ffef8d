"""Makes `vibration.csv`, a minute of one machine: `python examples/vibration/make_data.py [FILE]`.

The seed is 11. The machine runs at 300 rpm, whatever is commanded; its bearing is damaged at second 30.
"""

import csv
import sys
from pathlib import Path

from plant import CYCLE_S, NOMINAL_RPM, Machine

SEED = 11
START_NS = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z."""
SECONDS = 60
COLUMNS = ("time", "acceleration", "speed")


def main(path: Path) -> None:
    """Write the file."""
    machine = Machine(START_NS, SEED, "recorded", 30.0, NOMINAL_RPM, NOMINAL_RPM)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(machine.cycle() for _ in range(round(SECONDS / CYCLE_S)))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("vibration.csv"))
