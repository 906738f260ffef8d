"""Threshold and on/off controller against references that look at the whole history."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twins.functions.registry import BUILT_INS
from twins.functions.testing import new_state

HISTORY = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=80)


def _expected_activity(values: list[int], times: list[int], hold: int, release: int) -> list[bool]:
    """Look back from every record for an unbroken run of the condition since the last change."""
    active, changed, result = False, 0, []
    for index in range(len(values)):
        run = index
        while run >= changed and (values[run] < -1 if active else values[run] > 1):
            run -= 1
        if run < index and times[index] - times[run + 1] >= (release if active else hold):
            active, changed = not active, index + 1
        result.append(active)
    return result


@given(HISTORY, st.integers(0, 6), st.integers(0, 6))
def test_threshold_follows_unbroken_runs(history: list[tuple[int, int]], hold: int, release: int) -> None:
    values, steps = (list(column) for column in zip(*history, strict=True))
    bound = BUILT_INS["threshold"].bind({"above": 1.0, "below": -1.0, "hold_s": hold / 10, "release_s": release / 10})
    state = new_state(bound.state)
    # Tenths of a second have no exact float: a run of exactly the hold time must count all the same.
    found = [bound.function(state, float(v), dt / 10, **bound.constants) for v, dt in history]
    assert found == _expected_activity(values, np.cumsum(steps).tolist(), hold, release)


def test_threshold_without_hold_changes_at_once_and_equality_changes_nothing() -> None:
    bound = BUILT_INS["threshold"].bind({"above": 1.0})
    state = new_state(bound.state)
    values = [1.0, 1.1, 1.0, 0.9, 1.0]
    assert [bound.function(state, v, 1.0, **bound.constants) for v in values] == [False, True, True, False, False]


@given(HISTORY, st.integers(0, 9), st.integers(0, 9), st.sampled_from(["raises", "lowers"]))
def test_controller_keeps_its_dead_band_and_minimum_times(
    history: list[tuple[int, int]], minimum_on: int, minimum_off: int, action: str
) -> None:
    bound = BUILT_INS["on_off_controller"].bind(
        {
            "action": action,
            "below": 1.0,
            "above": 2.0,
            "minimum_on_s": float(minimum_on),
            "minimum_off_s": float(minimum_off),
        }
    )
    state = new_state(bound.state)
    on, since = False, -np.inf
    now = 0
    for value, dt_s in history:
        now += dt_s
        sign = 1 if action == "raises" else -1
        demand = sign * (1 if value < -1 else -1 if value > 2 else 0)
        if (demand > 0 and not on and now - since >= minimum_off) or (demand < 0 and on and now - since >= minimum_on):
            on, since = not on, now
        assert bound.function(state, float(value), 0.0, float(dt_s), **bound.constants) == on


@pytest.mark.parametrize(("action", "expected"), [("raises", True), ("lowers", False)])
def test_controller_acts_on_the_first_record(action: str, expected: bool) -> None:  # noqa: FBT001
    bound = BUILT_INS["on_off_controller"].bind({"action": action, "minimum_off_s": 100.0})
    assert bound.function(new_state(bound.state), 1.0, 2.0, 0.0, **bound.constants) is expected
