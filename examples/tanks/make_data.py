"""Makes `tanks.csv`, 50 minutes of one tank: `python examples/tanks/make_data.py [FILE]`.

The seed is 7. The pump follows a float switch, as it did before there was a twin. The tank leaks 1 l/s from minute 25
to minute 40; its level sensor is silent from minute 10 to 11:30, and in minute 45 a meter and then the sensor say
what can't be.
"""

import csv
import sys
from pathlib import Path

from plant import CYCLE_S, Tank

SEED = 7
START_NS = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z."""
MINUTES = 50
WRONG = {1350: {"inflow": -0.4}, 1351: {"level_m": "n/a"}}
"""What can't have been measured, by row."""
COLUMNS = ("time", "level_m", "inflow", "outflow", "pump_on", "valve_open", "feeder_low")


def main(path: Path) -> None:
    """Write the file."""
    tank = Tank(START_NS, SEED, "recorded", leaks=(1500.0, 2400.0), silent=(600.0, 690.0))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in range(round(MINUTES * 60 / CYCLE_S)):
            record = tank.cycle() | WRONG.get(row, {})
            cells = (record.get(name, "") for name in COLUMNS)
            writer.writerow([str(cell).lower() if isinstance(cell, bool) else cell for cell in cells])
            tank.pump_on = tank.level_m < (2.15 if tank.pump_on else 1.85)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("tanks.csv"))
