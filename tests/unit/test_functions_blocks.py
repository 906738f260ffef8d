"""Built-in steps inside a compiled kernel: neither block cuts nor restarts change a bit, and plain Python agrees."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference.plain_twin import PlainTwin
from support.oracle import load_type
from support.stepping import START_NS, TWINS, Stepping, reading, stepped, write_type
from support.stepping import request as requested

from streams.log.record import LogRecord
from twins.twin_type import TwinType

DEFINITION = """\
name: signals
version: 1.0.0
late: flag
inputs:
  raw: {unit: mA, range: [0, 24]}
  restart: {type: bool}
pipeline:
  - {name: calibration, step: linear_calibration, inputs: {value: raw}, outputs: [percent],
     config: {points: [[4, 0], [20, 100]]}}
  - {name: curve, step: lookup_table, inputs: {value: percent}, outputs: [flow],
     config: {points: [[0, 0], [30, 2.5], [100, 4]]}}
  - {name: lag, step: first_order_lag, inputs: {value: flow}, outputs: [lagged],
     config: {time_constant_s: 2.5, gain: 2.0}}
  - {name: rate, step: rate_of_change, inputs: {value: lagged}, outputs: [rate]}
  - {name: total, step: integrator, inputs: {value: flow, reset: restart}, outputs: [volume],
     config: {reset: true, upper: 30.0}}
  - {name: whole, step: integrator, inputs: {value: flow}, outputs: [all], config: {initial: 1.5}}
  - {name: ramp, step: rate_limiter, inputs: {value: percent}, outputs: [limited], config: {rising_per_s: 3.0}}
  - {name: report, step: dead_band, inputs: {value: percent}, config: {band: 2.0},
     outputs: {reported: {}, changed: {type: bool}}}
  - {name: recent, step: window_statistics, inputs: {value: flow}, config: {window_s: 6.0, hop_s: 2.0},
     outputs: {least: {}, most: {}, mean: {}, closed: {type: bool}}}
outputs:
  timeseries:
    fields: [percent, flow, lagged, rate, volume, all, limited, reported, changed, least, most, mean, closed]
"""

REGULATED = """\
name: signals
version: 1.0.0
late: flag
inputs:
  raw: {unit: mA, range: [0, 24]}
  restart: {type: bool}
parameters:
  gain: {default: 2.0}
pipeline:
  - {name: warmth, step: unit_conversion, inputs: {value: {field: raw, to: A}}, outputs: {ampere: {unit: mA}},
     config: {from: A, to: mA}}
  - {name: report, step: change_of_value, inputs: {value: raw}, outputs: {reported: {}, told: {type: bool}},
     config: {increment: 3.0, maximum_silence_s: 6.0, minimum_interval_s: 1.0}}
  - {name: silence, step: staleness, inputs: {value: reported}, outputs: {stale: {type: bool}, age: {}},
     config: {max_age_s: 4.0, band: 1.0}}
  - {name: plant, step: state_space, inputs: {u: raw}, outputs: [place, pace],
     config: {time: continuous, A: [[0, 1], [-0.5, -0.4]], B: [[0], [0.5]], inputs: [u]}}
  - {name: control, step: pid, outputs: [power],
     inputs: {value: place, setpoint: raw, manual: restart, manual_output: reported, kp: gain},
     config: {ki: 0.3, kd: 0.5, filter_s: 0.2, lower: -5, upper: 20, manual: true, wired: [kp]}}
  - {name: filter, step: kalman_filter, inputs: {z: raw}, outputs: [level, residual, innovation, variance],
     config: {F: [[0.9]], H: [[1]], Q: [[0.5]], R: [[2]], measurements: [z], innovations: true}}
  - {name: monitor, step: innovation_monitor, outputs: {nis: {}, cusum: {}, drifting: {type: bool}},
     config: {false_alarm_records: 50}}
  - {name: recent, step: window_statistics, inputs: {value: raw}, config: {window_s: 4.0, hop_s: 2.0, grace_s: 5.0},
     outputs: {least: {}, most: {}, mean: {}, closed: {type: bool}}}
outputs:
  timeseries:
    fields: [ampere, reported, told, stale, age, place, pace, power, level, nis, cusum, drifting, least, most, mean,
             closed]
"""

PROPERTY = settings(
    max_examples=60,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
RAW = st.floats(0.0, 24.0)
CUTS = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=8)


@pytest.fixture(scope="module")
def signals(tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return _load(DEFINITION, tmp_path_factory)


@pytest.fixture(scope="module")
def regulated(tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return _load(REGULATED, tmp_path_factory)


def _load(definition: str, paths: pytest.TempPathFactory) -> TwinType:
    folder = write_type(paths.mktemp("type") / "signals", definition)
    return load_type(folder, "content", paths.mktemp("kernels"))


BOTH = pytest.mark.parametrize("kind", ["signals", "regulated"])


@st.composite
def histories(draw: st.DrawFn) -> list[LogRecord]:
    """Records of two twins at irregular, equal and late times, with resets of the whole twin between them."""
    found = [reading(twin, 0.0, raw=draw(RAW), restart=False) for twin in TWINS[:2]]
    for _ in range(draw(st.integers(1, 40))):
        twin = draw(st.sampled_from(TWINS[:2]))
        if draw(st.integers(0, 9)) == 0:
            found.append(requested(twin, "reset", f"r{len(found)}"))
        else:
            at_s = draw(st.sampled_from([0.0, 1.0, 1.5, 2.0, 7.25]) | st.floats(0, 20))
            found.append(reading(twin, at_s, raw=draw(RAW), restart=draw(st.integers(0, 5)) == 0))
    return [item._replace(offset=3 * index) for index, item in enumerate(found)]


@pytest.mark.slow
@BOTH
@given(histories(), CUTS)
@PROPERTY
def test_block_cuts_and_restarts_change_nothing_of_a_built_in(
    request: pytest.FixtureRequest, kind: str, records: list[LogRecord], cuts: list[tuple[int, bool]]
) -> None:
    twin_type = request.getfixturevalue(kind)
    whole = stepped(twin_type, records)
    for found in (stepped(twin_type, records, cuts), stepped(twin_type, records, [(at, False) for at in range(40)])):
        assert found.result.states == whole.result.states
        assert found.lines() == whole.lines()
        assert found.counts == whole.counts
    assert not whole.messages("deadletter")


@BOTH
@given(st.lists(st.tuples(RAW, st.booleans(), st.integers(0, 5_000_000_000)), min_size=1, max_size=30))
@PROPERTY
def test_the_kernel_gives_what_plain_python_gives(
    request: pytest.FixtureRequest, kind: str, rows: list[tuple[float, bool, int]]
) -> None:
    twin_type = request.getfixturevalue(kind)
    plain, stepping = PlainTwin(twin_type.code.folder), Stepping(twin_type)
    time_ns = START_NS
    for index, (raw, restart, step_ns) in enumerate(rows):
        time_ns += step_ns
        # A counter, so that equal records at the same time are no duplicates.
        made: dict[str, Any] = {"raw": raw, "restart": restart}
        stepping.step(reading(TWINS[0], (time_ns - START_NS) / 1e9, **made, seq=index))
        expected = plain.step({"time": time_ns, **made})
    found = stepping.state(TWINS[0])
    assert found.outputs == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_a_reset_of_the_twin_begins_every_step_anew_at_its_next_record(signals: TwinType) -> None:
    stepping = Stepping(signals)
    stepping.step(*(reading(TWINS[0], at_s, raw=20.0, restart=False) for at_s in range(5)))
    stepping.step(requested(TWINS[0], "reset"), reading(TWINS[0], 9.0, raw=4.0, restart=False))
    assert stepping.state(TWINS[0]).outputs == {
        "percent": 0.0,
        "flow": 0.0,
        "lagged": 0.0,
        "rate": 0.0,
        "volume": 0.0,
        "all": 1.5,
        "limited": 0.0,
        "reported": 0.0,
        "changed": True,
        "least": 0.0,
        "most": 0.0,
        "mean": 0.0,
        "closed": False,
    }
