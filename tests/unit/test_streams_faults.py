"""Failures of a partition: back-off, and finding the one record that can't be stepped."""

from itertools import pairwise

import pytest

from streams.block import Block
from streams.faults import LAST_DELAY_S, Faults
from streams.processor import HeldRecordsError


def _block(first: int, last: int, hole: int | None = None) -> Block:
    records = [(offset, 0, b"k", b"v", ()) for offset in range(first, last) if offset != hole]
    return Block.of_records(0, records, start=first, end=last)


def _cuts(faults: Faults, block: Block) -> list[tuple[int, int, bool]]:
    return [(part.start, part.end, bool(detail)) for part, detail in faults.parts(block)]


def test_without_suspicion_a_block_stays_whole() -> None:
    assert _cuts(Faults(), _block(5, 9)) == [(5, 9, False)]


def test_suspected_offsets_come_one_by_one_and_what_is_around_them_whole() -> None:
    faults = Faults()
    faults.suspect(_block(10, 13), ValueError("bad"))
    assert _cuts(faults, _block(8, 16)) == [
        (8, 10, False),
        (10, 11, False),
        (11, 12, False),
        (12, 13, False),
        (13, 16, False),
    ]
    assert _cuts(faults, _block(13, 16)) == [(13, 16, False)]
    assert _cuts(faults, _block(0, 10)) == [(0, 10, False)]


def test_parts_leave_no_gap_where_the_log_has_holes() -> None:
    faults = Faults()
    faults.suspect(_block(10, 20), ValueError("bad"))
    cuts = _cuts(faults, _block(10, 20, hole=14))
    assert cuts[0][0] == 10
    assert cuts[-1][1] == 20
    assert all(left[1] == right[0] for left, right in pairwise(cuts))


def test_a_record_that_fails_twice_by_itself_is_given_up_with_its_error() -> None:
    faults = Faults()
    faults.suspect(_block(10, 13), ValueError("bad"))
    faults.suspect(_block(11, 12), ValueError("bad"))
    assert not any(detail for _, detail in faults.parts(_block(10, 13)))
    faults.suspect(_block(11, 12), ValueError("worse"))
    assert [detail for _, detail in faults.parts(_block(10, 13))] == ["", "ValueError: worse", ""]


def test_suspicion_ends_when_everything_suspected_is_committed() -> None:
    faults = Faults()
    faults.suspect(_block(10, 13), ValueError("bad"))
    faults.reached(12)
    assert len(_cuts(faults, _block(10, 13))) == 3
    faults.reached(13)
    assert _cuts(faults, _block(10, 13)) == [(10, 13, False)]


def test_the_wait_doubles_up_to_a_limit_and_starts_anew_after_progress() -> None:
    faults = Faults()
    delays = [faults.delay_s() for _ in range(2000)]
    assert delays[:3] == pytest.approx([0.1, 0.2, 0.4])
    assert max(delays) == delays[-1] == LAST_DELAY_S
    faults.reached(1)
    assert faults.delay_s() == pytest.approx(0.1)


def test_a_commit_that_leads_no_further_shortens_no_delay() -> None:
    faults = Faults()
    faults.reached(10)
    delays_s = []
    for _ in range(4):
        delays_s.append(faults.delay_s())
        faults.reached(10)
    assert delays_s == [0.1, 0.2, 0.4, 0.8]
    faults.reached(11)
    assert faults.delay_s() == pytest.approx(0.1)


def test_what_is_held_back_is_one_mapping_until_more_is_suspected_or_nothing_any_more() -> None:
    faults, blamed = Faults(), HeldRecordsError((3, 4))
    assert faults.held == {}
    faults.suspect(_block(10, 13), blamed)
    held = faults.held
    assert held == {3: "", 4: ""}
    assert faults.held is held, "it may be asked for as often as there are records"
    for _ in range(2):
        faults.suspect(_block(10, 11), HeldRecordsError((4,)))
    assert (held, faults.held) == ({3: "", 4: ""}, {3: "", 4: "HeldRecordsError: records (4,) that were held back"})
    faults.reached(13)
    assert faults.held == {}
