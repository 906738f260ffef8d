"""Makes `pump.csv`, half an hour of one pump: `python examples/pump/make_data.py [FILE]`.

The seed is 5. The speed follows a timetable, whatever is commanded. The strainer is clogged from minute 10 to 12, the
pump is worn from minute 20 on; in minute 25 the water is said to be 120 °C warm.
"""

import csv
import sys
from pathlib import Path

from plant import Pump

SEED = 5
START_NS = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z."""
SECONDS = 1800
TIMETABLE = {0: 2400.0, 120: 2600.0, 240: 1500.0, 300: 2900.0, 420: 2620.0}
"""Speed in rpm from a second on; at 1500 rpm the water does not reach the top."""
WRONG = {1500: {"temperature": 120.0}}
COLUMNS = ("time", "suction_pressure", "discharge_pressure", "flow", "speed", "power", "temperature")


def main(path: Path) -> None:
    """Write the file."""
    pump = Pump(START_NS, SEED, "recorded", clogs=(600.0, 720.0), worn_s=1200.0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for second in range(SECONDS):
            pump.wanted_rpm = TIMETABLE.get(second, pump.wanted_rpm)
            writer.writerow(pump.cycle() | WRONG.get(second, {}))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("pump.csv"))
