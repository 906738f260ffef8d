"""Change of value and staleness against the whole history."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.oracle import load_type
from support.stepping import TWINS, Stepping, reading, tick, write_type

from twins.functions.registry import BUILT_INS
from twins.functions.testing import new_state

SECOND = 1_000_000_000
HISTORY = st.lists(st.tuples(st.integers(-6, 6), st.integers(0, 9)), min_size=1, max_size=60)


@given(HISTORY, st.sampled_from([0, 4, 20]), st.sampled_from([0, 1, 4]))
def test_reports_are_due_by_change_or_silence_and_never_too_soon(
    history: list[tuple[int, int]], silence_s: int, interval_s: int
) -> None:
    config = {"increment": 2.0, "maximum_silence_s": float(silence_s), "minimum_interval_s": float(interval_s)}
    bound = BUILT_INS["change_of_value"].bind(config)
    state = new_state(bound.state)
    values, steps = np.array(history).T
    times = np.cumsum(steps) + 1_700_000_000
    reports = [0]
    for index, (value, at_s) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
        found, changed = bound.function(state, float(value), at_s * SECOND, *bound.constants.values())
        age_s = at_s - times[reports[-1]]
        due = abs(value - values[reports[-1]]) >= 2 or 0 < silence_s <= age_s
        assert changed == (index == 0 or (due and age_s >= interval_s))
        if changed:
            reports.append(index)
        assert found == values[reports[-1]]
    if interval_s == 0:
        # What was reported is never further away than the increment.
        assert abs(found - value) < 2


def test_a_late_record_is_not_reported() -> None:
    bound = BUILT_INS["change_of_value"].bind({"increment": 1.0})
    state = new_state(bound.state)
    records = [(5.0, 100), (9.0, 99), (9.0, 100)]
    found = [bound.function(state, value, at_s * SECOND, *bound.constants.values()) for value, at_s in records]
    assert found == [(5.0, True), (5.0, False), (9.0, True)]


@given(HISTORY, st.integers(1, 20), st.integers(0, 3))
def test_stale_is_a_value_that_has_not_changed_for_too_long(
    history: list[tuple[int, int]], max_age_s: int, band: int
) -> None:
    bound = BUILT_INS["staleness"].bind({"max_age_s": float(max_age_s), "band": float(band)})
    state = new_state(bound.state)
    values, steps = np.array(history).T
    times = np.cumsum(steps)
    change = 0
    for index, (value, at_s) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
        if abs(value - values[change]) > band:
            change = index
        stale, age_s = bound.function(state, float(value), at_s * SECOND, *bound.constants.values())
        assert stale == (at_s - times[change] > max_age_s)
        assert age_s == pytest.approx(at_s - times[change])
        assert age_s >= 0.0


def test_ticks_find_a_twin_that_no_longer_sends() -> None:
    bound = BUILT_INS["staleness"].bind({"max_age_s": 10.0, "since": "record"})
    state = new_state(bound.state)
    seen = [(1, 0), (2, 5), (2, 9), (2, 15), (2, 16), (3, 20), (3, 30), (3, 31)]
    found = [bound.function(state, records, at_s * SECOND, *bound.constants.values())[0] for records, at_s in seen]
    assert found == [False, False, False, False, True, False, False, True]


def test_a_late_record_makes_nothing_older() -> None:
    bound = BUILT_INS["staleness"].bind({"max_age_s": 10.0})
    state = new_state(bound.state)
    records = [(1.0, 100), (2.0, 50), (2.0, 105)]
    found = [bound.function(state, value, at_s * SECOND, *bound.constants.values()) for value, at_s in records]
    assert found == [(False, 0.0), (False, 0.0), (False, 5.0)]


SILENT = """\
name: silent
version: 1.0.0
tick_s: 1
inputs: {level: {}}
pipeline:
  - {name: silence, step: staleness, runs_on: both, outputs: {silent: {type: bool}, since_s: {}},
     config: {max_age_s: 3.0, since: record}}
  - {name: stuck, step: staleness, inputs: {value: level}, runs_on: both, config: {max_age_s: 5.0},
     outputs: {stuck: {type: bool}, stuck_s: {}}}
  - {name: report, step: change_of_value, inputs: {value: level}, runs_on: both,
     config: {increment: 1.0, maximum_silence_s: 4.0}, outputs: {shown: {}, told: {type: bool}}}
outputs: {timeseries: {fields: [silent, stuck]}}
"""


def test_on_ticks_the_built_ins_find_silence(tmp_path: Path) -> None:
    twin_type = load_type(write_type(tmp_path / "silent", SILENT), "content", tmp_path / "kernels")
    stepping, found = Stepping(twin_type), []
    for at_s in range(10):
        records = [reading(TWINS[0], at_s, level=7.0)] if at_s in {0, 5} else []
        stepping.step(*records, tick(at_s + 0.5))
        outputs = stepping.state(TWINS[0]).outputs
        found.append((outputs["silent"], outputs["stuck"], outputs["told"]))
    silent, stuck, told = zip(*found, strict=True)
    assert silent == (False, False, False, True, True, False, False, False, True, True)
    assert stuck == (False,) * 5 + (True,) * 5
    # At second 0 the record is reported, and the tick after it has nothing more to tell.
    assert told == (False, False, False, False, True, False, False, False, True, False)
