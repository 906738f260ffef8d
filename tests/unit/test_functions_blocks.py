"""Built-in steps inside a compiled kernel: neither block cuts nor restarts change a bit, and plain Python agrees."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference.plain_twin import PlainTwin
from support.oracle import load_type
from support.stepping import START_NS, TWINS, Stepping, reading, request, stepped, write_type

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

PROPERTY = settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
RAW = st.floats(0.0, 24.0)
CUTS = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=8)


@pytest.fixture(scope="module")
def signals(tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    folder = write_type(tmp_path_factory.mktemp("signals") / "signals", DEFINITION)
    return load_type(folder, "content", tmp_path_factory.mktemp("kernels"))


@st.composite
def histories(draw: st.DrawFn) -> list[LogRecord]:
    """Records of two twins at irregular, equal and late times, with resets of the whole twin between them."""
    found = [reading(twin, 0.0, raw=draw(RAW), restart=False) for twin in TWINS[:2]]
    for _ in range(draw(st.integers(1, 40))):
        twin = draw(st.sampled_from(TWINS[:2]))
        if draw(st.integers(0, 9)) == 0:
            found.append(request(twin, "reset", f"r{len(found)}"))
        else:
            at_s = draw(st.sampled_from([0.0, 1.0, 1.5, 2.0, 7.25]) | st.floats(0, 20))
            found.append(reading(twin, at_s, raw=draw(RAW), restart=draw(st.integers(0, 5)) == 0))
    return [item._replace(offset=3 * index) for index, item in enumerate(found)]


@given(histories(), CUTS)
@PROPERTY
def test_block_cuts_and_restarts_change_nothing_of_a_built_in(
    signals: TwinType, records: list[LogRecord], cuts: list[tuple[int, bool]]
) -> None:
    whole = stepped(signals, records)
    for found in (stepped(signals, records, cuts), stepped(signals, records, [(at, False) for at in range(40)])):
        assert found.result.states == whole.result.states
        assert found.lines() == whole.lines()
        assert found.counts == whole.counts
    assert not whole.messages("deadletter")


@given(st.lists(st.tuples(RAW, st.booleans(), st.integers(0, 5_000_000_000)), min_size=1, max_size=30))
@PROPERTY
def test_the_kernel_gives_what_plain_python_gives(signals: TwinType, rows: list[tuple[float, bool, int]]) -> None:
    plain, stepping = PlainTwin(signals.code.folder), Stepping(signals)
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
    stepping.step(request(TWINS[0], "reset"), reading(TWINS[0], 9.0, raw=4.0, restart=False))
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
