"""Simulated machines that talk MQTT as real ones would: `python examples/vibration/plant.py --help`.

A housing vibrates with the shaft, because of imbalance, and 3.2 times as fast once the bearing's outer ring is damaged;
both forces grow with the square of the speed. One machine's bearing is damaged after a while, and gets worse.
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

CYCLE_S = 0.02
NOMINAL_RPM, RPM_PER_S = 300.0, 10.0
IMBALANCE, DAMAGE, NOISE = 0.8, 1.2, 0.15
"""Amplitudes at the nominal speed, and the standard deviation of the noise, in m/s²."""
BEARING_ORDER = 3.2
WORSENS_S = 20.0
"""How long it takes from the first damage to the full one."""


@dataclass
class Machine(Driven):
    """One machine and its drive.

    Attributes:
        start_ns: Simulated time of the first cycle.
        seed: Of the noise.
        boot: Name of this boot.
        damaged_s: When its bearing is damaged, in seconds since the start.
    """

    start_ns: int
    seed: int
    boot: str
    damaged_s: float = math.inf
    speed_rpm: float = 240.0
    wanted_rpm: float = 240.0
    angle: float = 0.0
    cycles: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the noise."""
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable noise, no secret

    def cycle(self) -> dict[str, Any]:
        """Take a sample, and turn on for one cycle."""
        since_start_s = self.cycles * CYCLE_S
        worn = min(1.0, max(0.0, since_start_s - self.damaged_s) / WORSENS_S)
        forced = (self.speed_rpm / NOMINAL_RPM) ** 2
        shaking = IMBALANCE * math.sin(self.angle) + DAMAGE * worn * math.sin(BEARING_ORDER * self.angle)
        record = {
            "time": self.start_ns + self.cycles * round(CYCLE_S * NS_PER_S),
            "seq": self.cycles,
            "boot": self.boot,
            "acceleration": round(forced * shaking + self._random.gauss(0.0, NOISE), 4),
            "speed": round(self.speed_rpm, 1),
        }
        self.turn(RPM_PER_S * CYCLE_S)
        self.angle += 2.0 * math.pi * self.speed_rpm / 60.0 * CYCLE_S
        self.cycles += 1
        return record


def machine_of(options: argparse.Namespace, number: int, start_ns: int, boot: str) -> Machine:
    """The machine of this number: the bearing of the second one, or of a single one, is damaged."""
    damaged_s = options.damage_s if number == min(2, options.twins) else math.inf
    return Machine(start_ns, options.seed + number, boot, damaged_s)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of("Simulated machines that publish 50 samples a second and obey over MQTT.", "vibration")
    parser.add_argument("--damage-s", type=float, default=30.0, help="simulated time at which a bearing is damaged")
    return read_options(parser, arguments)


if __name__ == "__main__":
    serve(options_of(), CYCLE_S, machine_of)
