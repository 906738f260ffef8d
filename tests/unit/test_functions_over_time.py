"""Rate of change, integrator and first-order lag over irregular event times, against NumPy."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from twins.functions.registry import BUILT_INS
from twins.functions.testing import new_state

RECORDS = st.lists(st.tuples(st.floats(-1e3, 1e3), st.integers(0, 3_000_000_000)), min_size=1, max_size=50)
"""Values, and nanoseconds since the record before, often 0."""


def _run(name: str, config: dict[str, Any], records: list[tuple[Any, ...]]) -> NDArray[np.float64]:
    """Results for records that are arguments with `dt_s` last."""
    bound = BUILT_INS[name].bind(config)
    state = new_state(bound.state)
    return np.array([bound.function(state, *record, *bound.constants.values()) for record in records])


def _in_seconds(records: list[tuple[float, int]]) -> list[tuple[float, float]]:
    return [(value, interval * 1e-9) for value, interval in records]


def _instants(records: list[tuple[float, int]]) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Distinct event times in nanoseconds, the first value of each, and of each record the number of its instant."""
    times = np.cumsum([0, *(interval for _, interval in records[1:])])
    distinct, first, instant = np.unique(times, return_index=True, return_inverse=True)
    return distinct, np.array([value for value, _ in records])[first], instant


@given(RECORDS)
def test_rate_of_change_is_the_difference_quotient_of_numpy(records: list[tuple[float, int]]) -> None:
    times, values, instant = _instants(records)
    expected = np.concatenate(([0.0], np.diff(values) / (np.diff(times) * 1e-9)))[instant]
    np.testing.assert_allclose(_run("rate_of_change", {}, _in_seconds(records)), expected, rtol=1e-9)


@given(
    st.floats(-1e3, 1e3), st.floats(-100.0, 100.0), st.lists(st.integers(1_000_000, 10**10), min_size=1, max_size=30)
)
def test_rate_of_change_of_a_ramp_is_its_slope(start: float, slope: float, intervals: list[int]) -> None:
    times = np.cumsum([0, *intervals]) * 1e-9
    found = _run("rate_of_change", {}, list(zip(start + slope * times, [0.0, *np.diff(times)], strict=True)))
    assert found[0] == 0.0
    np.testing.assert_allclose(found[1:], slope, rtol=1e-6, atol=1e-6)


def test_rate_of_change_begins_anew_after_a_reset_and_passes_over_late_records() -> None:
    bound = BUILT_INS["rate_of_change"].bind({})
    state = new_state(bound.state)
    records = [(5.0, 0.0), (7.0, 2.0), (90.0, 0.0), (90.0, -4.0), (8.0, 1.0)]
    assert [bound.function(state, *record) for record in records] == [0.0, 1.0, 1.0, 1.0, 1.0]
    # As after the request reset: the state is new, but there was a record before.
    assert bound.function(new_state(bound.state), 100.0, 3.0) == 0.0


@given(RECORDS)
def test_the_integral_is_the_trapezoid_of_numpy(records: list[tuple[float, int]]) -> None:
    times, values, instant = _instants(records)
    areas = (values[1:] + values[:-1]) / 2 * np.diff(times) * 1e-9
    found = _run("integrator", {"initial": 3.0}, _in_seconds(records))
    np.testing.assert_allclose(found, 3.0 + np.concatenate(([0.0], np.cumsum(areas)))[instant], rtol=1e-9, atol=1e-6)
    assert found[-1] == pytest.approx(3.0 + float(np.trapezoid(values, times * 1e-9)), rel=1e-9, abs=1e-6)


@given(RECORDS, st.integers(0, 50), st.floats(-10.0, 10.0))
def test_after_a_reset_the_integral_is_that_of_what_follows(
    records: list[tuple[float, int]], at: int, initial: float
) -> None:
    at %= len(records)
    given_records = [(value, index == at, dt_s) for index, (value, dt_s) in enumerate(_in_seconds(records))]
    found = _run("integrator", {"initial": initial, "reset": True}, given_records)
    plain = _run("integrator", {"initial": initial}, _in_seconds(records))
    np.testing.assert_array_equal(found[:at], plain[:at])
    np.testing.assert_array_equal(found[at:], _run("integrator", {"initial": initial}, _in_seconds(records[at:])))
    assert found[at] == initial


@given(RECORDS, st.floats(-100.0, 0.0), st.floats(0.0, 100.0))
def test_a_limited_integral_leaves_its_limit_at_once(
    records: list[tuple[float, int]], lower: float, upper: float
) -> None:
    found = _run("integrator", {"lower": lower, "upper": upper}, _in_seconds(records))
    _, values, instant = _instants(records)
    times = _instants(records)[0]
    areas = (values[1:] + values[:-1]) / 2 * np.diff(times) * 1e-9
    expected = [0.0]
    for area in areas:
        expected.append(float(np.clip(expected[-1] + area, lower, upper)))
    np.testing.assert_allclose(found, np.array(expected)[instant], rtol=1e-9, atol=1e-9)
    assert ((lower <= found) & (found <= upper)).all()


def test_the_integral_passes_over_records_without_time_but_not_over_their_reset() -> None:
    records = [(1.0, False, 0.0), (9.0, False, 0.0), (3.0, False, 2.0), (9.0, False, -1.0), (5.0, True, 0.0)]
    records += [(7.0, False, 1.0), (7.0, True, 1.0), (7.0, True, 1.0), (7.0, False, 1.0)]
    assert _run("integrator", {"reset": True}, records).tolist() == [0.0, 0.0, 4.0, 4.0, 0.0, 6.0, 0.0, 0.0, 7.0]


@given(RECORDS, st.floats(0.01, 100.0), st.floats(-5.0, 5.0), st.floats(-1e3, 1e3))
def test_the_lag_is_the_solution_of_its_differential_equation(
    records: list[tuple[float, int]], time_constant_s: float, gain: float, initial: float
) -> None:
    times_ns, values, instant = _instants(records)
    times = times_ns * 1e-9
    config = {"time_constant_s": time_constant_s, "gain": gain, "initial": initial}
    found = _run("first_order_lag", config, _in_seconds(records))
    expected = []
    for now in range(len(times)):
        # The response to each held value, from its beginning to its end, as seen from now.
        left = np.exp(-(times[now] - times[: now + 1]) / time_constant_s)
        expected.append(initial * left[0] + gain * float(values[:now] @ np.diff(left)))
    np.testing.assert_allclose(found, np.array(expected)[instant], rtol=1e-8, atol=1e-6)


@given(st.floats(-1e3, 1e3), st.floats(0.1, 100.0), st.lists(st.floats(1e-3, 50.0), min_size=1, max_size=20))
def test_the_lag_does_not_care_how_often_a_held_value_is_sampled(
    value: float, time_constant_s: float, intervals: list[float]
) -> None:
    config = {"time_constant_s": time_constant_s, "initial": 0.0}
    often = _run("first_order_lag", config, [(value, 0.0), *((value, dt_s) for dt_s in intervals)])
    once = _run("first_order_lag", config, [(value, 0.0), (value, sum(intervals))])
    assert often[-1] == pytest.approx(once[-1], rel=1e-9, abs=1e-9)
    assert all(abs(value - later) <= abs(value - sooner) + 1e-9 for sooner, later in pairwise(often))


def test_the_lag_begins_settled_unless_told_and_passes_over_records_without_time() -> None:
    records = [(10.0, 5.0), (99.0, 0.0), (99.0, -2.0), (10.0, 4.0), (0.0, 4.0), (0.0, 1e9)]
    found = _run("first_order_lag", {"time_constant_s": 2.0, "gain": 0.5}, records)
    assert found.tolist() == [5.0, 5.0, 5.0, 5.0, 5.0, 0.0]
