"""PID controller against a closed form in NumPy, and its limits and switches."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twins.functions.registry import BUILT_INS
from twins.functions.testing import new_state

GAINS = st.floats(0.0, 50.0)
RECORDS = st.lists(
    st.tuples(st.floats(-100, 100), st.floats(-100, 100), st.sampled_from([0.0, 0.1, 1.0, 7.5])),
    min_size=1,
    max_size=40,
)
WIDE = {"lower": -1e9, "upper": 1e9}


class _Pid:
    """The built-in with its state, called by names."""

    def __init__(self, **config: Any) -> None:
        self.bound = BUILT_INS["pid"].bind(config)
        self.state = new_state(self.bound.state)

    def __call__(self, value: float, setpoint: float, dt_s: float, **others: Any) -> float:
        named = {"value": value, "setpoint": setpoint, "dt_s": dt_s, **others}
        arguments = [named[name] for name in self.bound.arguments]
        output: float = self.bound.function(self.state, *arguments, *self.bound.constants.values())
        return output


@given(GAINS, GAINS, GAINS, st.floats(0, 1), st.floats(-10, 10), RECORDS)
def test_without_limits_the_output_is_the_sum_of_three_parts(
    kp: float, ki: float, kd: float, weight: float, initial: float, records: list[tuple[float, float, float]]
) -> None:
    pid = _Pid(kp=kp, ki=ki, kd=kd, setpoint_weight=weight, initial=initial, **WIDE)
    found = [pid(*record) for record in records]
    # Of records of the same event time the first counts.
    kept = [0, *(index for index, (_, _, dt_s) in enumerate(records) if index and dt_s > 0.0)]
    value, setpoint, dt_s = np.array(records)[kept].T
    dt_s[0] = 1.0  # nothing happens over it: the derivative and the error of the first record count for nothing
    area = np.cumsum(np.append(0.0, ((setpoint - value) * dt_s)[1:]))
    slope = np.append(0.0, np.diff(value)) / dt_s
    expected = kp * (weight * setpoint - value) + initial + ki * area - kd * slope
    held = np.searchsorted(kept, np.arange(len(records)), side="right") - 1
    np.testing.assert_allclose(found, expected[held], rtol=1e-9, atol=1e-6)


@given(st.floats(0.1, 5.0), st.floats(0.05, 2.0), st.lists(st.floats(-10, 10), min_size=2, max_size=40))
def test_the_derivative_goes_through_a_low_pass(kd: float, filter_s: float, values: list[float]) -> None:
    pid = _Pid(kp=0.0, kd=kd, filter_s=filter_s, **WIDE)
    found = [pid(value, 0.0, 0.5) for value in values]
    keep = filter_s / (filter_s + 0.5)
    slopes = -kd * np.diff(values) / 0.5
    expected = [
        0.0,
        *(float((1 - keep) * keep ** np.arange(k + 1)[::-1] @ slopes[: k + 1]) for k in range(len(slopes))),
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@given(RECORDS, st.floats(0.1, 9.0), st.floats(0.5, 100.0), st.floats(0.0, 20.0))
def test_the_standard_form_is_the_parallel_form_with_its_gains(
    records: list[tuple[float, float, float]], kp: float, ti_s: float, td_s: float
) -> None:
    standard = _Pid(form="standard", kp=kp, ti_s=ti_s, td_s=td_s, lower=-50, upper=50)
    parallel = _Pid(kp=kp, ki=kp / ti_s, kd=kp * td_s, lower=-50, upper=50)
    assert [standard(*record) for record in records] == [parallel(*record) for record in records]
    assert _Pid(form="standard", kp=kp, ti_s=0, **WIDE)(1.0, 3.0, 0.0) == 2.0 * kp


@given(RECORDS, GAINS, GAINS)
def test_a_lowering_actuator_sees_the_mirror_image(
    records: list[tuple[float, float, float]], kp: float, ki: float
) -> None:
    lowering = _Pid(action="lowers", kp=kp, ki=ki, lower=-20, upper=20)
    raising = _Pid(kp=kp, ki=ki, lower=-20, upper=20)
    assert [lowering(*record) for record in records] == [raising(-v, -r, dt_s) for v, r, dt_s in records]


MODES = st.lists(
    st.tuples(
        st.floats(-100, 100),
        st.floats(-100, 100),
        st.sampled_from([0.0, 0.1, 1.0, 3600.0, -2.0]),
        st.booleans(),
        st.sampled_from([0.0, 20.0, 400.0]),
    ),
    min_size=1,
    max_size=60,
)


@given(MODES, GAINS, GAINS, GAINS, st.floats(0, 5))
def test_the_output_is_always_within_its_limits_and_continuous_at_every_switch(
    records: list[tuple[float, float, float, bool, float]], kp: float, ki: float, kd: float, filter_s: float
) -> None:
    pid = _Pid(kp=kp, ki=ki, kd=kd, filter_s=filter_s, lower=0.0, upper=100.0, manual=True)
    previous: tuple[float, bool, float] | None = None
    for value, setpoint, dt_s, manual, manual_output in records:
        output = pid(value, setpoint, dt_s, manual=manual, manual_output=manual_output)
        assert 0.0 <= output <= 100.0
        if previous and previous[1] != manual and (not manual or manual_output == previous[2]):
            assert output == previous[0]
        if manual and previous and manual_output != previous[2]:
            assert output == min(manual_output, 100.0)
        previous = output, manual, manual_output


@given(st.floats(1e3, 1e6), st.floats(0.01, 10.0), st.floats(0.1, 10.0))
def test_a_long_time_at_a_limit_winds_nothing_up(long_s: float, ki: float, kp: float) -> None:
    pid = _Pid(kp=kp, ki=ki, lower=0.0, upper=10.0)
    pid(0.0, 50.0, 0.0)
    assert pid(0.0, 50.0, long_s) == 10.0
    # The first error of the other sign leaves the limit at once.
    assert pid(51.0, 50.0, 1.0) < 10.0


def test_the_loop_brings_a_tank_to_its_level_without_an_offset() -> None:
    pid = _Pid(form="standard", kp=4.0, ti_s=20.0, lower=0.0, upper=10.0)
    level, output = 0.0, 0.0
    for _ in range(600):
        level += (output - 0.5 * level) * 0.5 / 5.0
        output = pid(level, 6.0, 0.5)
    assert level == pytest.approx(6.0, abs=1e-3)
    assert output == pytest.approx(3.0, abs=1e-2)


def test_settings_can_be_wired_and_changed_on_the_way() -> None:
    pid = _Pid(wired=["kp", "ki", "upper"], kd=0.0, lower=0.0)
    assert pid.bound.arguments == ("value", "setpoint", "dt_s", "kp", "ki", "upper")
    assert pid(0.0, 2.0, 0.0, kp=3.0, ki=0.0, upper=100.0) == 6.0
    assert pid(0.0, 2.0, 1.0, kp=4.0, ki=1.0, upper=100.0) == 10.0
    assert pid(0.0, 2.0, 0.0, kp=4.0, ki=1.0, upper=7.0) == 7.0
