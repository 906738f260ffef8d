"""Simulated water tanks that talk MQTT as real ones would: `python examples/tanks/plant.py --help`.

A row of tanks: the pump of each draws from the one before it, that of the first from the mains, and people draw from
all of them. One tank begins to leak after a while, another one's level sensor falls silent.
"""

import argparse
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.plant.fleet import parser_of, read_options, serve
from schemas.clock import NS_PER_S

CYCLE_S = 2.0
AREA_M2, HEIGHT_M = 1.5, 3.0
PUMP_M3_S, RELIEF_M3_S, DEMAND_M3_S, LEAK_M3_S = 0.006, 0.02, 0.002, 0.001
SUCTION_M = 0.05
"""Below this level a pump draws air."""
WAVES_M, METER_ERROR = 0.002, 0.01
NEVER = (math.inf, math.inf)


@dataclass
class Tank:
    """One tank and its driver.

    Attributes:
        start_ns: Simulated time of the first cycle.
        seed: Of noise and demand.
        boot: Name of this boot.
        feeder: Where its pump draws from; None for the mains.
        leaks: When it leaks, from and to, in seconds since the start.
        silent: When its level sensor says nothing.
        level_m: True level.
        drawn_m3: Taken by the next tank's pump since the last cycle.
    """

    start_ns: int
    seed: int
    boot: str
    feeder: "Tank | None" = None
    leaks: tuple[float, float] = NEVER
    silent: tuple[float, float] = NEVER
    level_m: float = 1.8
    pump_on: bool = False
    valve_open: bool = False
    drawn_m3: float = 0.0
    cycles: int = 0
    flows: tuple[float, float] = (0.0, 0.0)
    """Into the tank and out of it in the last cycle, m³/s, without leaks."""
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the noise."""
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable noise, no secret

    def cycle(self) -> dict[str, Any]:
        """Read the sensors, and let the water flow for one cycle."""
        since_start_s = self.cycles * CYCLE_S
        inflow, outflow = (max(0.0, flow * (1.0 + self._random.gauss(0.0, METER_ERROR))) for flow in self.flows)
        record: dict[str, Any] = {
            "time": self.start_ns + round(since_start_s * NS_PER_S),
            "seq": self.cycles,
            "boot": self.boot,
            "level_m": round(self.level_m + self._random.gauss(0.0, WAVES_M), 4),
            "inflow": round(inflow, 6),
            "outflow": round(outflow, 6),
            "pump_on": self.pump_on,
            "valve_open": self.valve_open,
        }
        if self.silent[0] <= since_start_s < self.silent[1]:
            del record["level_m"]
        if self.cycles == 0:
            # As the float switch of the feeding tank says; from then on the word of its twin counts.
            record["feeder_low"] = False
        self._flow(since_start_s)
        self.cycles += 1
        return record

    def obey(self, name: str, value: Any) -> bool:  # noqa: ANN401
        """Take a command for pump or valve."""
        if name not in {"pump", "valve"} or not isinstance(value, bool):
            return False
        if name == "pump":
            self.pump_on = value
        else:
            self.valve_open = value
        return True

    def _flow(self, since_start_s: float) -> None:
        wanted = (since_start_s + 37.0 * self.seed) % 200.0 < 80.0  # noqa: PLR2004 - s of each 200 s
        outflow = (DEMAND_M3_S if wanted else 0.0) + self.drawn_m3 / CYCLE_S
        if self.valve_open:
            outflow += RELIEF_M3_S * math.sqrt(self.level_m / HEIGHT_M)
        outflow = min(outflow, self.level_m * AREA_M2 / CYCLE_S)
        inflow = 0.0
        if self.pump_on and (self.feeder is None or self.feeder.level_m > SUCTION_M):
            inflow = PUMP_M3_S
            if self.feeder is not None:
                self.feeder.drawn_m3 += PUMP_M3_S * CYCLE_S
        leak = LEAK_M3_S if self.leaks[0] <= since_start_s < self.leaks[1] else 0.0
        self.level_m = min(HEIGHT_M, max(0.0, self.level_m + (inflow - outflow - leak) * CYCLE_S / AREA_M2))
        self.drawn_m3 = 0.0
        self.flows = inflow, outflow


class Row:
    """Makes tanks, each of which draws from the one that was made before it."""

    def __init__(self) -> None:
        self._last: Tank | None = None

    def tank(self, options: argparse.Namespace, number: int, start_ns: int, boot: str) -> Tank:
        """The tank of this number: the second one, or a single one, leaks; the third one's sensor falls silent."""
        leaking = number == min(2, options.twins)
        leaks = (options.leak_s, options.leak_s + options.leak_for_s) if leaking else NEVER
        silent = (options.silent_s, options.silent_s + 60.0) if number == 3 else NEVER  # noqa: PLR2004
        tank = Tank(start_ns, options.seed + number, boot, self._last, leaks, silent)
        self._last = tank
        return tank


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of("Simulated water tanks that publish and obey over MQTT.", "tanks")
    parser.add_argument("--leak-s", type=float, default=120.0, help="simulated time at which a tank begins to leak")
    parser.add_argument("--leak-for-s", type=float, default=600.0, help="for how long it does")
    parser.add_argument("--silent-s", type=float, default=180.0, help="simulated time at which a sensor falls silent")
    return read_options(parser, arguments)


if __name__ == "__main__":
    serve(options_of(), CYCLE_S, Row().tank)
