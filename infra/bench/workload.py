"""Telemetry that every contestant gets: incubators that heat, cool down and are opened, the same for the same seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.bench.telemetry import Telemetry
from schemas.clock import NS_PER_S
from schemas.partitioning import partition_of

START_NS = 1_700_000_000 * NS_PER_S
CYCLE_S = 3.0
SEED = 20_260_101

_C_AIR, _G_BOX = 267.55929458, 0.5763498
_C_HEATER, _G_HEATER = 329.25376821, 1.67053237
_POWER_W = 12.15579391 * 1.53551347
_ROOM_C = 21.0
_HEATER_ON_C, _HEATER_OFF_C = 30.0, 35.0
_OPEN_LID_FACTOR = 30.0
_OPEN_SHARE = 0.01
_OPEN_CYCLES = 10
_OFFSET_C, _NOISE_C = 0.6, 0.02
_STEPS_PER_DEGREE = 16


@dataclass(frozen=True)
class Workload:
    """A fixed load.

    Every cycle of 3 s of event time each twin sends one record, in an order that is drawn anew. Boxes follow the two
    differential equations of the incubator with a thermostat between 30 and 35 °C; 1 % of them have their lid opened
    for 10 cycles at any time. Sensors add noise of 0.02 °C and read steps of 1/16 °C.

    Attributes:
        records: Number of records.
        twins: Number of twins, `box-00000` and so on.
        partitions: Of the topic; a twin's is murmur2 of its id.
        seed: Of all that is drawn.
    """

    records: int
    twins: int
    partitions: int
    seed: int = SEED

    @property
    def keys(self) -> list[bytes]:
        """Ids of all twins, by their numbers."""
        return [b"box-%05d" % number for number in range(self.twins)]

    def cycles(self) -> Iterator[list[tuple[int, bytes, bytes]]]:
        """Yield records in order, a cycle at a time: partition, key and value."""
        keys = self.keys
        places = [partition_of(key, self.partitions) for key in keys]
        encode = msgspec.json.Encoder().encode
        for cycle, columns in enumerate(self.columns()):
            yield [
                (places[twin], keys[twin], encode(Telemetry(t1, t2, t3, on, True, at, cycle)))  # noqa: FBT003
                for twin, t1, t2, t3, on, at in zip(*(column.tolist() for column in columns), strict=True)
            ]

    def by_type(self, types: Sequence[str]) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield type, key and value of each record; types take turns, a cycle each."""
        for place, cycle in enumerate(self.cycles()):
            name = types[place % len(types)]
            for _, key, value in cycle:
                yield name, key, value

    def columns(self) -> Iterator[tuple[NDArray[Any], ...]]:
        """Yield the same as columns, (n,) each: twins' numbers, three temperatures, heater, event time in ns."""
        left = self.records
        for order, *columns in self._cycles():
            if left <= 0:
                return
            chosen = order[:left]
            yield chosen, *(column[chosen] for column in columns)
            left -= len(chosen)

    def _cycles(self) -> Iterator[tuple[NDArray[Any], ...]]:
        rng = np.random.default_rng(self.seed)
        heater_c = rng.uniform(25.0, 50.0, self.twins)
        air_c = rng.uniform(22.0, 36.0, self.twins)
        heater = rng.random(self.twins) < 0.5  # noqa: PLR2004 - a coin
        phase_ns = rng.integers(0, round(CYCLE_S * NS_PER_S), self.twins)
        opened = np.zeros(self.twins, np.int64)
        cycle = 0
        while True:
            heater = np.where(air_c <= _HEATER_ON_C, True, np.where(air_c > _HEATER_OFF_C, False, heater))  # noqa: FBT003
            yield (
                rng.permutation(self.twins),
                self._read(rng, air_c - _OFFSET_C),
                self._read(rng, air_c + _OFFSET_C),
                self._read(rng, np.full(self.twins, _ROOM_C)),
                heater,
                START_NS + round(cycle * CYCLE_S * NS_PER_S) + phase_ns,
            )
            opened = np.maximum(opened - 1, 0)
            opened[(opened == 0) & (rng.random(self.twins) < _OPEN_SHARE / _OPEN_CYCLES)] = _OPEN_CYCLES
            loss = np.where(opened > 0, _G_BOX * _OPEN_LID_FACTOR, _G_BOX)
            flow = _G_HEATER * (heater_c - air_c)
            heater_c = heater_c + CYCLE_S * (_POWER_W * heater - flow) / _C_HEATER
            air_c = air_c + CYCLE_S * (flow - loss * (air_c - _ROOM_C)) / _C_AIR
            cycle += 1

    def _read(self, rng: np.random.Generator, temperature: NDArray[np.float64]) -> NDArray[np.float64]:
        """A sensor's reading: noise, then steps of 1/16 °C, cut to three decimals."""
        steps = np.round((temperature + rng.normal(0.0, _NOISE_C, self.twins)) * _STEPS_PER_DEGREE)
        return np.trunc(steps / _STEPS_PER_DEGREE * 1000.0) / 1000.0
