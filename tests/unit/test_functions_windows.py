"""Window statistics against NumPy over everything a window holds."""

import numpy as np
import pytest
from hypothesis import given, settings
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


class _Windows:
    """Windows with a grace over everything that ever came: what `window_statistics` says in words."""

    def __init__(self, panes: int, hop_ns: int, grace_ns: int) -> None:
        self.panes, self.hop_ns, self.grace_ns = panes, hop_ns, grace_ns
        self.kept: list[tuple[int, float]] = []
        self.waiting: set[int] = set()
        self.newest_ns: int | None = None
        self.last = (0.0, 0.0, 0.0)

    def take(self, value: float, time_ns: int) -> tuple[tuple[float, float, float], int | None]:
        """Results, and the last hop of the window that is given with this record."""
        if self.newest_ns is None:
            self.newest_ns, self.last = time_ns, (value, value, value)
        self.newest_ns = max(self.newest_ns, time_ns)
        hop, given = time_ns // self.hop_ns, None
        over = [one for one in self.waiting if (one + 1) * self.hop_ns + self.grace_ns <= self.newest_ns]
        if over:
            given = min(over)
            self.waiting.discard(given)
            held = np.array([one for at, one in self.kept if given - self.panes < at <= given])
            self.last = (float(held.min()), float(held.max()), float(held.mean()))
        if any((hop + 1 + k) * self.hop_ns + self.grace_ns > self.newest_ns for k in range(self.panes)) or any(
            one - self.panes < hop <= one for one in self.waiting
        ):
            self.kept.append((hop, value))
        if (hop + 1) * self.hop_ns + self.grace_ns > self.newest_ns:
            self.waiting.add(hop)
        return self.last, given


LATE_HISTORY = st.lists(
    st.tuples(
        st.floats(-1e6, 1e6),
        st.sampled_from([0, 0, 1, 1, 2, 3, 9, 40, -1, -2, -3, -7, -20, 200]).map(lambda s: s * SECOND // 2),
    ),
    min_size=1,
    max_size=120,
)


@settings(max_examples=300)
@given(LATE_HISTORY, START_NS, st.integers(1, 4), st.sampled_from([0.5, 1.0, 2.5]), st.sampled_from([0.25, 0.5, 3.0]))
def test_a_window_with_grace_has_the_statistics_of_numpy(
    history: list[tuple[float, int]], start_ns: int, panes: int, hop_s: float, grace_s: float
) -> None:
    bound = BUILT_INS["window_statistics"].bind({"window_s": panes * hop_s, "hop_s": hop_s, "grace_s": grace_s})
    state, windows = new_state(bound.state), _Windows(panes, round(hop_s * SECOND), round(grace_s * SECOND))
    time_ns, given = start_ns, []
    for value, step_ns in history:
        time_ns += step_ns
        expected, window = windows.take(value, time_ns)
        *found, closed = bound.function(state, value, time_ns, *bound.constants.values())
        assert closed == (window is not None)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-6)
        if window is not None:
            # Never before its grace is over, and in order.
            assert (window + 1) * windows.hop_ns + windows.grace_ns <= max(windows.newest_ns or 0, time_ns)
            given.append(window)
    assert given == sorted(set(given))


@given(HISTORY, START_NS, st.integers(1, 4))
def test_without_any_grace_both_ways_give_the_same(history: list[tuple[float, int]], start_ns: int, panes: int) -> None:
    plain = BUILT_INS["window_statistics"].bind({"window_s": float(panes), "hop_s": 1.0})
    graced = BUILT_INS["window_statistics"].bind({"window_s": float(panes), "hop_s": 1.0, "grace_s": 1.0})
    one, other, time_ns = new_state(plain.state), new_state(graced.state), start_ns
    for value, step_ns in history:
        time_ns += step_ns
        expected = plain.function(one, value, time_ns, SECOND)
        assert graced.function(other, value, time_ns, SECOND, panes, 0) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=60))
def test_with_a_grace_as_long_as_anything_is_late_every_value_is_in_exactly_one_tumbling_window(
    records: list[tuple[float, int, int]],
) -> None:
    bound = BUILT_INS["window_statistics"].bind({"window_s": 2.0, "grace_s": 3.0})
    state, now_s, counted = new_state(bound.state), 100, 0
    late = [(value, late_s) for value, _, late_s in records]
    for (value, late_s), (_, step_s, _) in zip(late, records, strict=True):
        now_s += step_s
        waiting = dict(zip(state.number.tolist(), state.count.tolist(), strict=True))
        pending = {int(number) for number, waits in zip(state.number, state.pending, strict=True) if waits}
        *_, closed = bound.function(state, value, (now_s - late_s) * SECOND, *bound.constants.values())
        left = {int(number) for number, waits in zip(state.number, state.pending, strict=True) if waits}
        counted += sum(waiting[number] for number in pending - left) if closed else 0
    assert counted + int(state.count[np.array(state.pending, dtype=bool)].sum()) == len(records)


def test_a_late_value_counts_until_the_grace_is_over() -> None:
    bound = BUILT_INS["window_statistics"].bind({"window_s": 10.0, "grace_s": 5.0})
    state = new_state(bound.state)
    records = [(5.0, 1), (7.0, 12), (1.0, 9), (3.0, 14), (2.0, 15), (99.0, 8), (4.0, 60), (4.0, 61)]
    found = [bound.function(state, value, at_s * SECOND, *bound.constants.values()) for value, at_s in records]
    assert found == [
        (5.0, 5.0, 5.0, False),
        (5.0, 5.0, 5.0, False),
        (5.0, 5.0, 5.0, False),
        (5.0, 5.0, 5.0, False),
        (1.0, 5.0, 3.0, True),  # [0, 10), with the value of second 9 that came after that of second 12
        (1.0, 5.0, 3.0, False),  # too late
        (2.0, 7.0, 4.0, True),  # [10, 20)
        (2.0, 7.0, 4.0, False),
    ]
