"""Ticks between the rows of a recording: which, where, and what is left out."""

import pytest

from infra.authoring import passing_time
from infra.authoring.passing_time import with_ticks
from infra.authoring.recording import Row
from schemas.clock import NS_PER_S


def _played(seconds: list[float | None], tick_s: float = 10.0) -> tuple[list[str | int], list[tuple[int, int]]]:
    """Rows as `row SECOND`, ticks as their seconds; lines and numbers of what was left out."""
    rows = [Row(n, "", None if s is None else round(s * NS_PER_S), b"", "") for n, s in enumerate(seconds, 2)]
    left_out: list[tuple[int, int]] = []
    items = list(with_ticks(rows, tick_s, lambda row, ticks: left_out.append((row.line, ticks))))
    found = [f"row {seconds[item.line - 2]}" if isinstance(item, Row) else item // NS_PER_S for item in items]
    return found, left_out


def test_ticks_tell_the_multiples_of_their_period_between_the_rows() -> None:
    assert _played([103, 105, 130, 131])[0] == ["row 103", "row 105", 110, 120, 130, "row 130", "row 131"]


def test_a_row_that_goes_back_or_tells_no_time_moves_nothing() -> None:
    assert _played([100, 115, 90, None, 121])[0] == ["row 100", 110, "row 115", "row 90", "row None", 120, "row 121"]


def test_a_type_without_ticks_gets_none() -> None:
    assert _played([100, 200], tick_s=0.0)[0] == ["row 100", "row 200"]


def test_of_a_long_silence_the_first_ticks_are_played_and_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing_time, "MOST_TICKS", 3)
    assert _played([0, 100, 111]) == (["row 0", 10, 20, 30, "row 100", 110, "row 111"], [(3, 7)])
