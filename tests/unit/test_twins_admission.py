"""Duplicates and lateness, decided by a window of counters against a plain memory of everything."""

from typing import Any

import numba
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.definition_file import read_definition
from twins import admission
from twins.admission import WINDOW
from twins.layout import QUARANTINED, RowLayout

LAYOUT = RowLayout.of(read_definition("name: probe\nversion: 1.0.0\ninputs: {a: {}}\n"))

# Compiled for this test alone: of what it compiles for a row that the rows of other layouts begin with, numba would
# make use for these, too, and warn.
admit, note = (numba.njit(function.py_func) for function in (admission.admit, admission.note))


class _Twin:
    """One row, stepped by counter, boot, time and payload."""

    def __init__(self) -> None:
        self.rows = LAYOUT.new_row()
        self.offset = 0

    @property
    def row(self) -> Any:
        return self.rows[0]

    def take(self, time_ns: int = 0, *, seq: int = -1, boot: int = 0, payload: int = 0, flag_late: bool = False) -> int:
        self.offset += 1
        decision = int(admit(self.rows[0], time_ns, boot, seq, payload, flag_late))
        if decision <= admission.ACCEPTED_LATE:
            note(self.rows[0], time_ns, self.offset, boot, seq, payload)
        return decision


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 5) | st.integers(-80, 80)), max_size=120))
def test_the_window_accepts_each_counter_of_a_boot_once_and_nothing_behind_it(moves: list[tuple[int, int]]) -> None:
    twin, boot, highest = _Twin(), 1, 100
    seen: set[int] = set()
    for draw, ahead in moves:
        if draw == 0 and ahead == 5:  # the device starts again
            boot, seen, highest = boot + 1, set(), 100
        seq = max(0, highest + ahead)
        known = bool(seen) and (seq in seen or seq <= max(seen) - WINDOW)
        assert twin.take(seq=seq, boot=boot) == (admission.DUPLICATE if known else admission.ACCEPTED)
        if not known:
            seen.add(seq)
            highest = max(seen)


@pytest.mark.parametrize(
    ("age", "decision"), [(0, admission.DUPLICATE), (1, admission.ACCEPTED), (63, admission.ACCEPTED)]
)
def test_a_counter_that_was_overtaken_is_accepted_within_the_window(age: int, decision: int) -> None:
    twin = _Twin()
    twin.take(seq=1000)
    assert twin.take(seq=1000 - age) == decision
    assert twin.take(seq=1000 - age) == admission.DUPLICATE


@pytest.mark.parametrize("age", [64, 65, 900])
def test_a_counter_behind_the_window_counts_as_a_duplicate(age: int) -> None:
    twin = _Twin()
    twin.take(seq=1000)
    assert twin.take(seq=1000 - age) == admission.DUPLICATE


@pytest.mark.parametrize("jump", [1, 63, 64, 65, 10**15])
def test_a_jump_forgets_what_falls_out_of_the_window_and_nothing_else(jump: int) -> None:
    twin = _Twin()
    twin.take(seq=0)
    assert twin.take(seq=jump) == admission.ACCEPTED
    assert twin.take(seq=0) == admission.DUPLICATE
    if jump > 1:
        assert twin.take(seq=jump - 1) == admission.ACCEPTED


def test_another_boot_starts_the_counters_anew_in_either_direction() -> None:
    twin = _Twin()
    assert [twin.take(seq=5, boot=boot) for boot in (1, 1, 2, 2, 1)] == [
        admission.ACCEPTED,
        admission.DUPLICATE,
        admission.ACCEPTED,
        admission.DUPLICATE,
        admission.ACCEPTED,
    ]


def test_without_counters_equal_time_and_payload_make_a_duplicate_and_either_alone_does_not() -> None:
    twin = _Twin()
    assert twin.take(10, payload=7) == admission.ACCEPTED
    assert twin.take(10, payload=7) == admission.DUPLICATE
    assert twin.take(10, payload=8) == admission.ACCEPTED
    assert twin.take(11, payload=8) == admission.ACCEPTED
    assert twin.take(11, payload=0) == admission.ACCEPTED
    assert twin.take(11, payload=0) == admission.ACCEPTED


def test_a_counter_outranks_time_and_payload() -> None:
    twin = _Twin()
    twin.take(10, seq=1, payload=7)
    assert twin.take(10, seq=2, payload=7) == admission.ACCEPTED


@pytest.mark.parametrize(("flag_late", "decision"), [(False, admission.LATE), (True, admission.ACCEPTED_LATE)])
def test_older_than_the_last_is_late_and_never_moves_time_back(flag_late: bool, decision: int) -> None:  # noqa: FBT001
    twin = _Twin()
    assert twin.take(0) == admission.ACCEPTED
    twin.take(10)
    assert twin.take(9, flag_late=flag_late) == decision
    assert twin.row["event_time_ns"] == 10
    assert twin.row["records"] == 2 + flag_late


def test_a_quarantined_twin_takes_nothing_and_still_knows_its_duplicates() -> None:
    twin = _Twin()
    twin.take(10, seq=1)
    twin.row["status"] |= QUARANTINED
    before = twin.rows.tobytes()
    assert twin.take(11, seq=1) == admission.DUPLICATE
    assert twin.take(11, seq=2) == admission.IN_QUARANTINE
    assert twin.rows.tobytes() == before


def test_what_was_accepted_is_entered_into_the_row() -> None:
    twin = _Twin()
    twin.take(10)
    twin.take(20)
    names = ("offset", "records", "revision", "event_time_ns")
    assert [int(twin.row[name]) for name in names] == [2, 2, 2, 20]
