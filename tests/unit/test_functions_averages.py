"""Running statistics, exponential and weighted average against NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twins.functions.registry import BUILT_INS
from twins.functions.running_statistics import running_statistics
from twins.functions.testing import new_state

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


@given(VALUES)
def test_running_statistics_are_those_of_all_values_at_once(values: list[float]) -> None:
    state = new_state(BUILT_INS["running_statistics"].bind({}).state)
    for value in values:
        count, mean, variance = running_statistics(state, value)
    assert count == len(values)
    assert mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    expected = np.var(values, ddof=1) if len(values) > 1 else 0.0
    assert variance == pytest.approx(expected, rel=1e-6, abs=1e-3)


def test_the_variance_survives_a_large_common_offset() -> None:
    bound = BUILT_INS["running_statistics"].bind({})
    state = new_state(bound.state)
    for value in (1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16):
        _, mean, variance = bound.function(state, value)
    assert (mean, variance) == (1e9 + 10, 30.0)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0.01, 100.0)), min_size=1, max_size=40))
def test_exponential_average_weighs_each_held_value_by_its_share(records: list[tuple[float, float]]) -> None:
    time_constant_s = 20.0
    bound = BUILT_INS["exponential_average"].bind({"time_constant_s": time_constant_s})
    state = new_state(bound.state)
    for index, (value, dt_s) in enumerate(records):
        average = bound.function(state, value, dt_s if index else 0.0, **bound.constants)
    values, intervals = np.array(records).T
    # Age of each value's interval, seen from the last record: the first value holds from minus infinity.
    ages = np.append(np.cumsum(intervals[1:][::-1])[::-1], 0.0)
    weights = np.exp(-ages / time_constant_s)
    weights[1:] -= np.exp(-ages[:-1] / time_constant_s)
    assert weights.sum() == pytest.approx(1.0)
    assert average == pytest.approx(float(weights @ values), rel=1e-9, abs=1e-6)
    assert values.min() - 1e-6 <= average <= values.max() + 1e-6


def test_a_record_from_the_past_leaves_the_exponential_average_alone() -> None:
    bound = BUILT_INS["exponential_average"].bind({"time_constant_s": 20.0})
    state = new_state(bound.state)
    assert bound.function(state, 5.0, 0.0, 20.0) == 5.0
    assert bound.function(state, 9.0, -3.0, 20.0) == 5.0


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.floats(-1e6, 1e6)), min_size=1, max_size=16))
def test_weighted_average_is_that_of_numpy_and_lies_between_the_values(pairs: list[tuple[float, float]]) -> None:
    weights, values = np.array(pairs).T
    weights[0] += 1.0
    bound = BUILT_INS["weighted_average"].bind({"weights": {f"v{i}": float(w) for i, w in enumerate(weights)}})
    average = bound.function(*values, **bound.constants)
    assert average == pytest.approx(float(np.average(values, weights=weights)), rel=1e-9, abs=1e-6)
    assert values.min() - 1e-6 <= average <= values.max() + 1e-6
