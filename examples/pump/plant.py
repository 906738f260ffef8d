"""Simulated pumps that talk MQTT as real ones would: `python examples/pump/plant.py --help`.

Each lifts water out of an open tank through a strainer. The head falls with the square of the flow, so that flow and
speed are found without any search:

    38 m · r² - 0.00555 · Q² = 12 m + 0.01 · Q²        r = speed / 2900 rpm, Q in m³/h

One pump's strainer clogs for a while, another pump is worn.
"""

import argparse
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.plant.driven import Driven
from infra.plant.fleet import parser_of, read_options, serve
from schemas.clock import NS_PER_S

CYCLE_S = 1.0
NOMINAL_RPM, RPM_PER_S = 2900.0, 300.0
SHUT_OFF_M, FALL, STATIC_M, RESISTANCE = 38.0, 0.00555, 12.0, 0.01
BEST_FLOW, BEST_EFFICIENCY = 40.0, 0.72
WEIGHT_KN_M3 = 998.2 * 9.80665 / 1000.0
TANK_KPA, STRAINER, CLOGGED = 118.0, 0.01, 0.08
"""Pressure before the strainer, and what it loses in kPa by the square of the flow, clean and clogged."""
WATER_C = 20.0
NEVER = (math.inf, math.inf)


@dataclass
class Pump(Driven):
    """One pump and its drive.

    Attributes:
        start_ns: Simulated time of the first cycle.
        seed: Of the noise.
        boot: Name of this boot.
        clogs: When its strainer is clogged, from and to, in seconds since the start.
        worn_s: When its efficiency is down by an eighth.
    """

    start_ns: int
    seed: int
    boot: str
    clogs: tuple[float, float] = NEVER
    worn_s: float = math.inf
    speed_rpm: float = 2000.0
    wanted_rpm: float = 2000.0
    cycles: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the noise."""
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable noise, no secret

    def cycle(self) -> dict[str, Any]:
        """Read the sensors, and go on for one cycle."""
        since_start_s = self.cycles * CYCLE_S
        ratio = self.speed_rpm / NOMINAL_RPM
        flow = math.sqrt(max(0.0, SHUT_OFF_M * ratio**2 - STATIC_M) / (FALL + RESISTANCE))
        head = SHUT_OFF_M * ratio**2 - FALL * flow**2
        share = flow / ratio / BEST_FLOW if ratio > 0.0 else 0.0
        efficiency = BEST_EFFICIENCY * share * (2.0 - share) * (0.875 if since_start_s >= self.worn_s else 1.0)
        clogged = self.clogs[0] <= since_start_s < self.clogs[1]
        suction = TANK_KPA - (CLOGGED if clogged else STRAINER) * flow**2
        power = WEIGHT_KN_M3 * flow / 3600.0 * head / efficiency if flow > 0.0 else 0.0
        record = {
            "time": self.start_ns + round(since_start_s * NS_PER_S),
            "seq": self.cycles,
            "boot": self.boot,
            "suction_pressure": self._read(suction, 0.3),
            "discharge_pressure": self._read(suction + WEIGHT_KN_M3 * head, 0.5),
            "flow": self._read(flow, 0.1),
            "speed": self._read(self.speed_rpm, 1.0),
            "power": self._read(power, 0.02),
            "temperature": self._read(WATER_C, 0.1),
        }
        self.turn(RPM_PER_S * CYCLE_S)
        self.cycles += 1
        return record

    def _read(self, value: float, noise: float) -> float:
        return round(max(0.0, value + self._random.gauss(0.0, noise)), 3)


def pump_of(options: argparse.Namespace, number: int, start_ns: int, boot: str) -> Pump:
    """The pump of this number: the strainer of the second one, or of a single one, clogs; the third one is worn."""
    clogging = number == min(2, options.twins)
    clogs = (options.clog_s, options.clog_s + options.clog_for_s) if clogging else NEVER
    return Pump(start_ns, options.seed + number, boot, clogs, options.worn_s if number == 3 else math.inf)  # noqa: PLR2004


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of("Simulated pumps that publish and obey over MQTT.", "lift_pump")
    parser.add_argument("--clog-s", type=float, default=120.0, help="simulated time at which a strainer clogs")
    parser.add_argument("--clog-for-s", type=float, default=240.0, help="for how long it does")
    parser.add_argument("--worn-s", type=float, default=60.0, help="simulated time at which a pump is worn")
    return read_options(parser, arguments)


if __name__ == "__main__":
    serve(options_of(), CYCLE_S, pump_of)
