"""What the Python peers do with one record: the state in bytes, so that a changelog costs them no encoding."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from infra.bench.telemetry import Telemetry

Step = Callable[[bytes | None, Telemetry], tuple[bytes, bytes | None]]
"""Takes a twin's state, None before its first record, and a record; gives the new state and what is reported."""

STATISTICS = struct.Struct("<q9d")
"""Number of records; mean, sum of squared deviations and moving average of three values."""

WEIGHT = 0.1
EVERY = 101

ESTIMATE = struct.Struct("<7d")
"""Temperatures of heater and air, their covariance, the measured temperature and its error."""

NOISE = 0.001


class Model(NamedTuple):
    """The incubator, discretised by backward difference over 3 s: x = F · (x + drive), covariance F · P · F' + Q.

    The drive is `heating` for the heater while it is on, and `room` times the room's temperature for the air.
    """

    f00: float
    f01: float
    f10: float
    f11: float
    q00: float
    q01: float
    q11: float
    heating: float
    room: float


def _incubator() -> Model:
    c_air, g_box, c_heater, g_heater, step_s = 267.55929458, 0.5763498, 329.25376821, 1.67053237, 3.0
    a, b, c = step_s * g_heater / c_heater, step_s * g_heater / c_air, step_s * g_box / c_air
    scale = 1.0 / (1.0 + a + b + c + a * c)
    q = NOISE * NOISE * step_s * step_s
    return Model(
        *(scale * (1.0 + b + c), scale * a, scale * b, scale * (1.0 + a)),
        *(q * step_s * step_s / 4.0, q * step_s / 2.0, q),
        heating=step_s * 12.15579391 * 1.53551347 / c_heater,
        room=c,
    )


MODEL = _incubator()
_F00, _F01, _F10, _F11, _Q00, _Q01, _Q11, _HEATING, _ROOM = MODEL
_FIRST = ESTIMATE.pack(21.0, 21.0, NOISE, 0.0, NOISE, 0.0, 0.0)


class Report(msgspec.Struct, gc=False):
    """What the statistics job tells of every 101st record of a twin."""

    time: int
    mean: tuple[float, float, float]
    variance: tuple[float, float, float]
    average: tuple[float, float, float]


_encode = msgspec.json.Encoder().encode


def follow(state: bytes | None, record: Telemetry) -> tuple[bytes, bytes | None]:
    """Welford's statistics and a moving average of each value, as `benchmarks/statistics/statistics.py` has them."""
    x, y, z = record.t1, record.t2, record.t3
    if state is None:
        new = STATISTICS.pack(1, x, y, z, 0.0, 0.0, 0.0, x, y, z)
    else:
        n, mean_x, mean_y, mean_z, m2_x, m2_y, m2_z, average_x, average_y, average_z = STATISTICS.unpack(state)
        n += 1
        off_x, off_y, off_z = x - mean_x, y - mean_y, z - mean_z
        mean_x += off_x / n
        mean_y += off_y / n
        mean_z += off_z / n
        new = STATISTICS.pack(
            n,
            mean_x,
            mean_y,
            mean_z,
            m2_x + off_x * (x - mean_x),
            m2_y + off_y * (y - mean_y),
            m2_z + off_z * (z - mean_z),
            average_x + WEIGHT * (x - average_x),
            average_y + WEIGHT * (y - average_y),
            average_z + WEIGHT * (z - average_z),
        )
    return new, None if record.time // 1000 % EVERY else report(new, record.time)


def report(state: bytes, time_ns: int) -> bytes:
    """What is told of a twin, as JSON."""
    n, *values = STATISTICS.unpack(state)
    mean, m2, average = values[:3], values[3:6], values[6:]
    freedom = max(n - 1, 1)
    variance = (m2[0] / freedom, m2[1] / freedom, m2[2] / freedom)
    return _encode(Report(time_ns, tuple(mean), variance, tuple(average)))


def estimate(state: bytes | None, record: Telemetry) -> tuple[bytes, None]:
    """One step of the incubator's Kalman filter; nothing is reported."""
    heater, air, p00, p01, p11, _, _ = ESTIMATE.unpack(state or _FIRST)
    average = (record.t1 + record.t2) / 2.0
    heating = _HEATING if record.heater_on else 0.0
    room = _ROOM * record.t3
    heater, air = (
        _F00 * heater + _F01 * air + _F00 * heating + _F01 * room,
        _F10 * heater + _F11 * air + _F10 * heating + _F11 * room,
    )
    a00, a01 = _F00 * p00 + _F01 * p01, _F00 * p01 + _F01 * p11
    a10, a11 = _F10 * p00 + _F11 * p01, _F10 * p01 + _F11 * p11
    p00, p01, p11 = a00 * _F00 + a01 * _F01 + _Q00, a00 * _F10 + a01 * _F11 + _Q01, a10 * _F10 + a11 * _F11 + _Q11
    s = p11 + NOISE
    innovation = average - air
    heater += p01 * innovation / s
    air += p11 * innovation / s
    p00, p01, p11 = p00 - p01 * p01 / s, p01 - p01 * p11 / s, p11 - p11 * p11 / s
    return ESTIMATE.pack(heater, air, p00, p01, p11, average, average - air), None


@dataclass(frozen=True)
class Work:
    """A job as the Python peers do it.

    Attributes:
        step: What happens to each record.
        state: How the state is packed.
    """

    step: Step
    state: struct.Struct


WORK = {"statistics": Work(follow, STATISTICS), "incubator": Work(estimate, ESTIMATE)}
