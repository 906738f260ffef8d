"""Simulated incubators that talk MQTT as real ones would: `python examples/incubator/plant.py --help`.

A box has two temperatures, its heater's Th and its air's T, in a room at Tr:

    C_heater · dTh/dt = V · I · u - G_heater · (Th - T)
    C_air    · dT/dt  = G_heater · (Th - T) - G_box · (T - Tr)

solved exactly for inputs that are held over a cycle, which is more than the twin's filter does. With the lid open the
box loses a hundred times as much heat.
"""

import argparse
import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from infra.plant.fleet import parser_of, read_options, serve
from schemas.clock import NS_PER_S

CYCLE_S = 3.0
C_AIR, G_BOX = 267.55929458, 0.5763498
C_HEATER, G_HEATER = 329.25376821, 1.67053237
POWER_W = 12.15579391 * 1.53551347
OPEN_LID_FACTOR = 100.0
OFFSET_C = 0.6
"""The two sensors in the box sit at different heights: one reads less than their mean, one more."""
NOISE_C = 0.02
STEPS_PER_DEGREE = 16


class Telemetry(TypedDict):
    """What a box publishes every cycle."""

    time: int
    seq: int
    boot: str
    t1: float
    t2: float
    t3: float
    heater_on: bool
    fan_on: bool


def room_temperature(since_start_s: float) -> float:
    """Room temperature in °C: cool at the start, so that an open lid is felt whatever the time of day."""
    return 10.0 * math.sin(since_start_s / 10000.0 - 2.7) + 15.0


def transition(duration_s: float, *, lid_open: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact step of the plant: [Th, T] becomes E·[Th, T] + D·[u, Tr] after `duration_s`."""
    loss = G_BOX * OPEN_LID_FACTOR if lid_open else G_BOX
    a = np.array([[-G_HEATER / C_HEATER, G_HEATER / C_HEATER], [G_HEATER / C_AIR, -(G_HEATER + loss) / C_AIR]])
    b = np.array([[POWER_W / C_HEATER, 0.0], [0.0, loss / C_AIR]])
    rates, modes = np.linalg.eig(a)
    step = (modes * np.exp(rates * duration_s)) @ np.linalg.inv(modes)
    return step, (step - np.eye(2)) @ np.linalg.solve(a, b)


class Lid:
    """When somebody opens the lid, and for how long; the same for the same seed.

    Args:
        seed: Seed of the times.
        first_s: First opening, simulated seconds after the start.
        every_s: From one opening to the next; 0 for never.
    """

    def __init__(self, seed: int, first_s: float, every_s: float) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a repeatable course of events, no secret
        self._every_s = every_s
        self._opens_s = first_s if every_s > 0 else math.inf
        self._closes_s = self._opens_s + self._random.uniform(30.0, 60.0)

    def is_open(self, since_start_s: float) -> bool:
        """Whether the lid is open at a time that never decreases from call to call."""
        while since_start_s >= self._closes_s:
            self._opens_s += self._every_s * self._random.uniform(0.8, 1.2)
            self._opens_s = max(self._opens_s, self._closes_s)
            self._closes_s = self._opens_s + self._random.uniform(30.0, 60.0)
        return since_start_s >= self._opens_s


@dataclass
class Box:
    """One incubator and its driver.

    Attributes:
        start_ns: Simulated time of the first cycle.
        temperatures: [Th, T] in °C.
        orders: Commands that have come and were not applied yet, by actuator.
    """

    lid: Lid
    start_ns: int
    seed: int
    boot: str
    heater_on: bool = False
    fan_on: bool = False
    cycles: int = 0
    temperatures: NDArray[np.float64] = field(default_factory=lambda: np.array([21.0, 21.0]))
    orders: dict[str, deque[bool]] = field(default_factory=lambda: {"heater": deque(), "fan": deque()})

    def __post_init__(self) -> None:
        """Prepare the noise and the two transitions that a cycle can make."""
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable noise, no secret
        self._transitions = {lid_open: transition(CYCLE_S, lid_open=lid_open) for lid_open in (False, True)}

    def cycle(self) -> Telemetry:
        """Take at most one command for each actuator, read the sensors, and let the box go on for one cycle."""
        self.heater_on = self.orders["heater"].popleft() if self.orders["heater"] else self.heater_on
        self.fan_on = self.orders["fan"].popleft() if self.orders["fan"] else self.fan_on
        since_start_s = self.cycles * CYCLE_S
        time_ns = self.start_ns + round(since_start_s * NS_PER_S)
        room = room_temperature(since_start_s)
        air = float(self.temperatures[1])
        record = Telemetry(
            time=time_ns,
            seq=self.cycles,
            boot=self.boot,
            t1=self._read(air - OFFSET_C),
            t2=self._read(air + OFFSET_C),
            t3=self._read(room),
            heater_on=self.heater_on,
            fan_on=self.fan_on,
        )
        step, drive = self._transitions[self.lid.is_open(since_start_s)]
        self.temperatures = step @ self.temperatures + drive @ np.array([float(self.heater_on), room])
        self.cycles += 1
        return record

    def obey(self, name: str, value: Any) -> bool:  # noqa: ANN401
        """Take a command for the heater or the fan."""
        known = name in self.orders and isinstance(value, bool)
        if known:
            self.orders[name].append(value)
        return known

    def _read(self, temperature: float) -> float:
        """A sensor's reading: noise, then steps of 1/16 °C, cut to three decimals."""
        steps = round((temperature + self._random.gauss(0.0, NOISE_C)) * STEPS_PER_DEGREE)
        return math.trunc(steps / STEPS_PER_DEGREE * 1000.0) / 1000.0


def box_of(options: argparse.Namespace, number: int, start_ns: int, boot: str) -> Box:
    """The box of this number; the lids open one after another."""
    lid = Lid(options.seed + number, options.first_lid_s + 30.0 * (number - 1), options.lid_every_s)
    return Box(lid, start_ns, number, boot)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of("Simulated incubators that publish and obey over MQTT.", "incubator")
    parser.add_argument("--lid-every-s", type=float, default=600.0, help="simulated time between lid openings; 0: none")
    parser.add_argument("--first-lid-s", type=float, default=210.0, help="simulated time of the first opening")
    return read_options(parser, arguments)


if __name__ == "__main__":
    serve(options_of(), CYCLE_S, box_of)
