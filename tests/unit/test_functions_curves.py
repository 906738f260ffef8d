"""Calibration, look-up table, dead band and rate limiter against NumPy and against what their names promise."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from twins.functions.registry import BUILT_INS
from twins.functions.testing import new_state

NUMBERS = st.floats(-1e6, 1e6)
CURVES = st.lists(
    st.tuples(st.integers(-1000, 1000), NUMBERS), min_size=2, max_size=30, unique_by=lambda point: point[0]
)
HISTORY = st.lists(st.tuples(NUMBERS, st.integers(0, 5_000_000_000)), min_size=1, max_size=60)


def _table(points: list[tuple[int, float]], outside: str) -> Any:
    bound = BUILT_INS["lookup_table"].bind({"points": sorted(points), "outside": outside})
    return lambda value: bound.function(value, **bound.constants)


@given(st.lists(NUMBERS, min_size=1), NUMBERS, NUMBERS)
def test_calibration_is_the_line_of_numpy(values: list[float], gain: float, offset: float) -> None:
    bound = BUILT_INS["linear_calibration"].bind({"gain": gain, "offset": offset})
    found = [bound.function(value, **bound.constants) for value in values]
    np.testing.assert_array_equal(found, np.polyval([gain, offset], np.array(values)))


@given(st.tuples(NUMBERS, NUMBERS), st.tuples(NUMBERS, NUMBERS), NUMBERS)
def test_calibration_by_two_points_goes_through_both(
    first: tuple[float, float], second: tuple[float, float], value: float
) -> None:
    if abs(first[0] - second[0]) < 1e-3:
        return
    bound = BUILT_INS["linear_calibration"].bind({"points": [first, second]})
    found = [bound.function(raw, **bound.constants) for raw in (first[0], second[0], value)]
    assert found[0] == first[1]
    scale = abs(first[1]) + abs(second[1])
    assert found[1] == pytest.approx(second[1], rel=1e-12, abs=1e-12 * scale)
    share = (value - first[0]) / (second[0] - first[0])
    expected = first[1] + share * (second[1] - first[1])
    assert found[2] == pytest.approx(expected, rel=1e-9, abs=1e-12 * scale * (1 + abs(share)))


def test_calibration_without_settings_changes_nothing_and_a_current_loop_becomes_percent() -> None:
    bound = BUILT_INS["linear_calibration"].bind({})
    assert bound.function(0.1, **bound.constants) == 0.1
    bound = BUILT_INS["linear_calibration"].bind({"points": [[4, 0], [20, 100]]})
    assert [bound.function(raw, **bound.constants) for raw in (4.0, 8.0, 20.0, 2.0)] == [0.0, 25.0, 100.0, -12.5]


@given(CURVES, st.lists(st.floats(-2000.0, 2000.0), max_size=30))
def test_look_up_is_the_interpolation_of_numpy(points: list[tuple[int, float]], values: list[float]) -> None:
    look_up = _table(points, "hold")
    x, y = np.array(sorted(points)).T
    for value in [*values, *x]:
        assert look_up(value) == pytest.approx(np.interp(value, x, y), rel=1e-9, abs=1e-6)
    assert [look_up(at) for at in x] == y.tolist()
    assert (look_up(x[0] - 1), look_up(x[-1] + 1)) == (y[0], y[-1])


@given(CURVES, st.floats(0.001, 1000.0))
def test_look_up_goes_on_straight_when_told_to(points: list[tuple[int, float]], beyond: float) -> None:
    look_up, held = _table(points, "extrapolate"), _table(points, "hold")
    x, y = np.array(sorted(points)).T
    for end, neighbour, at in ((0, 1, x[0] - beyond), (-1, -2, x[-1] + beyond)):
        slope = (y[end] - y[neighbour]) / (x[end] - x[neighbour])
        assert look_up(at) == pytest.approx(y[end] + slope * (at - x[end]), rel=1e-9, abs=1e-3)
    inside = (x[0] + x[-1]) / 2
    assert look_up(inside) == held(inside)


@given(CURVES, NUMBERS, NUMBERS)
def test_a_rising_curve_is_read_as_rising(points: list[tuple[int, float]], one: float, other: float) -> None:
    rising = list(zip(sorted(x for x, _ in points), sorted(y for _, y in points), strict=True))
    low, high = (_table(rising, "hold")(value) for value in sorted((one, other)))
    assert low <= high + 1e-9 * (1 + abs(high))


def test_a_point_out_of_order_is_named() -> None:
    with pytest.raises(ValidationError) as caught:
        BUILT_INS["lookup_table"].bind({"points": [[0, 1], [5, 2], [5, 3]]})
    (fault,) = caught.value.errors()
    assert fault["loc"] == ("points",)
    assert "point 3 has 5.0 after 5.0" in fault["msg"]


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.floats(0.0, 1e6))
def test_dead_band_stays_within_its_band_and_moves_only_when_it_must(values: list[float], band: float) -> None:
    bound = BUILT_INS["dead_band"].bind({"band": band})
    state = new_state(bound.state)
    results = [bound.function(state, value, **bound.constants) for value in values]
    passed, changed = np.array([one for one, _ in results]), np.array([flag for _, flag in results])
    before = np.concatenate(([np.inf], passed[:-1]))
    np.testing.assert_array_equal(changed, np.abs(np.array(values) - before) > band)
    np.testing.assert_array_equal(passed, np.where(changed, values, before))
    assert (np.abs(np.array(values) - passed) <= band).all()


def test_dead_band_passes_the_first_value_and_holds_at_its_edge() -> None:
    bound = BUILT_INS["dead_band"].bind({"band": 0.5})
    state = new_state(bound.state)
    found = [bound.function(state, value, **bound.constants) for value in (0.0, 0.5, -0.5, 0.75, 0.5)]
    assert found == [(0.0, True), (0.0, False), (0.0, False), (0.75, True), (0.75, False)]
    state.started = False
    assert bound.function(state, 0.75, **bound.constants) == (0.75, True)


def test_dead_band_of_zero_passes_every_change() -> None:
    bound = BUILT_INS["dead_band"].bind({"band": 0.0})
    state = new_state(bound.state)
    assert [bound.function(state, v, **bound.constants)[1] for v in (1.0, 1.0, 2.0, 1.0)] == [True, False, True, True]


@given(HISTORY, st.floats(0.0, 1e6), st.floats(0.0, 1e6))
def test_rate_limiter_follows_as_fast_as_it_may(
    history: list[tuple[float, int]], rising: float, falling: float
) -> None:
    bound = BUILT_INS["rate_limiter"].bind({"rising_per_s": rising, "falling_per_s": falling})
    state = new_state(bound.state)
    values, intervals = np.array([value for value, _ in history]), np.array([dt for _, dt in history]) * 1e-9
    found = np.array(
        [bound.function(state, *record, **bound.constants) for record in zip(values, intervals, strict=True)]
    )
    assert found[0] == values[0]
    moved, wanted = np.diff(found), values[1:] - found[:-1]
    np.testing.assert_allclose(
        moved, np.clip(wanted, -falling * intervals[1:], rising * intervals[1:]), rtol=1e-9, atol=1e-6
    )
    assert (np.minimum.accumulate(values) <= found).all()
    assert (found <= np.maximum.accumulate(values)).all()


def test_rate_limiter_does_not_move_without_time_and_falls_as_it_rises_unless_told() -> None:
    bound = BUILT_INS["rate_limiter"].bind({"rising_per_s": 2.0})
    state = new_state(bound.state)
    history = [(1.0, 9.0), (10.0, 0.0), (10.0, -3.0), (10.0, 0.5), (10.0, 4.0), (10.0, 1.0), (0.0, 1.0)]
    found = [bound.function(state, value, dt_s, **bound.constants) for value, dt_s in history]
    assert found == [1.0, 1.0, 1.0, 2.0, 10.0, 10.0, 8.0]
