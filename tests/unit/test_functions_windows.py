"""Window statistics against NumPy over everything a window holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twins.functions.registry import BUILT_INS
from twins.functions.testing import new_state

SECOND = 1_000_000_000
HISTORY = st.lists(
    st.tuples(st.floats(-1e6, 1e6), st.sampled_from([0, 0, 1, 2, 3, 9, 40, -2, -7]).map(lambda s: s * SECOND // 2)),
    min_size=1,
    max_size=60,
)
START_NS = st.sampled_from([0, -3 * SECOND, 1_700_000_000 * SECOND + 1])


@given(HISTORY, START_NS, st.integers(1, 5), st.sampled_from([0.5, 1.0, 2.5]))
def test_a_window_that_closes_has_the_statistics_of_numpy(
    history: list[tuple[float, int]], start_ns: int, panes: int, hop_s: float
) -> None:
    bound = BUILT_INS["window_statistics"].bind({"window_s": panes * hop_s, "hop_s": hop_s})
    state = new_state(bound.state)
    hop_ns = round(hop_s * SECOND)
    values, steps = np.array([value for value, _ in history]), np.array([step for _, step in history])
    times = start_ns + np.cumsum(steps)
    last = (values[0], values[0], values[0])
    for index, (value, time_ns) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
        before = times[:index] // hop_ns
        closes = index > 0 and time_ns // hop_ns > before.max()
        if closes:
            end = before.max() + 1
            held = values[:index][(before >= end - panes) & (before < end)]
            last = (held.min(), held.max(), held.mean())
        *found, closed = bound.function(state, value, time_ns, **bound.constants)
        assert closed == closes
        assert found == pytest.approx(last, rel=1e-9, abs=1e-6)
        assert found[0] - 1e-6 <= found[2] <= found[1] + 1e-6


@given(HISTORY)
def test_every_value_is_in_exactly_one_tumbling_window(history: list[tuple[float, int]]) -> None:
    bound = BUILT_INS["window_statistics"].bind({"window_s": 3.0})
    state = new_state(bound.state)
    time_ns, counted = 0, 0
    for value, step_ns in history:
        time_ns += abs(step_ns)
        before = int(state.count[0])
        *_, closed = bound.function(state, value, time_ns, **bound.constants)
        counted += before if closed else 0
    assert counted + int(state.count[0]) == len(history)


def test_the_end_of_a_window_is_outside_and_a_gap_gives_the_window_of_the_last_values() -> None:
    bound = BUILT_INS["window_statistics"].bind({"window_s": 2.0, "hop_s": 1.0})
    state = new_state(bound.state)
    records = [(5.0, 0.0), (7.0, 0.9), (1.0, 1.0), (3.0, 1.5), (6.0, 2.0), (9.0, 60.0), (4.0, 61.0)]
    found = [bound.function(state, value, round(at_s * 1e9), **bound.constants) for value, at_s in records]
    assert found == [
        (5.0, 5.0, 5.0, False),
        (5.0, 5.0, 5.0, False),
        (5.0, 7.0, 6.0, True),  # [-1, 1)
        (5.0, 7.0, 6.0, False),
        (1.0, 7.0, 4.0, True),  # [0, 2)
        (1.0, 6.0, 10.0 / 3.0, True),  # [1, 3)
        (9.0, 9.0, 9.0, True),  # [59, 61)
    ]


def test_a_late_value_counts_while_a_window_with_it_is_open() -> None:
    bound = BUILT_INS["window_statistics"].bind({"window_s": 3.0, "hop_s": 1.0})
    state = new_state(bound.state)
    for value, at_s in ((1.0, 5.5), (8.0, 3.2), (-8.0, 2.9)):
        bound.function(state, value, round(at_s * 1e9), **bound.constants)
    assert bound.function(state, 2.0, 6 * SECOND, **bound.constants) == (1.0, 8.0, 4.5, True)
