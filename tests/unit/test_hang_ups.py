"""Which message is given up, from what connections ended with: events in, decision out."""

import pytest

from connectors.hang_ups import MOST_HANG_UPS, PATIENCE_S, HangUps, Target
from schemas.clock import ManualClock

A, B, C = (Target(("t", 0, offset), 0) for offset in range(3))
A_AGAIN = A._replace(route=1)
CAREFUL = 5


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def hang_ups(clock: ManualClock) -> HangUps:
    return HangUps(CAREFUL, clock)


def hung_up(hang_ups: HangUps, *targets: Target, times: int = 1, silent: bool = False) -> None:
    for _ in range(times):
        hang_ups.asking(targets)
        hang_ups.ended(silent=silent)


def answered(hang_ups: HangUps, *targets: Target) -> None:
    hang_ups.asking(targets)
    hang_ups.answered()


def test_a_message_is_given_up_after_three_connections_that_ended_with_it_alone(hang_ups: HangUps) -> None:
    assert not hang_ups.careful
    hung_up(hang_ups, A, B)
    assert (hang_ups.careful, hang_ups.is_suspect(A)) == (True, False)
    for _ in range(MOST_HANG_UPS):
        assert not hang_ups.is_given_up(A)
        hung_up(hang_ups, A)
        assert hang_ups.is_suspect(A)
    assert hang_ups.is_given_up(A)
    assert not hang_ups.is_given_up(B)


def test_an_answer_starts_the_count_of_its_message_anew_and_of_no_other(hang_ups: HangUps) -> None:
    hung_up(hang_ups, A, times=2)
    hung_up(hang_ups, B, times=2)
    answered(hang_ups, A)
    assert not hang_ups.is_suspect(A)
    hung_up(hang_ups, A)
    hung_up(hang_ups, B)
    assert (hang_ups.is_given_up(A), hang_ups.is_given_up(B)) == (False, True)


def test_a_connection_that_ends_by_itself_or_is_silent_starts_all_counts_anew(hang_ups: HangUps) -> None:
    hung_up(hang_ups, A, times=2)
    hang_ups.ended(silent=False)
    assert not hang_ups.is_suspect(A)
    hung_up(hang_ups, A, times=2)
    hung_up(hang_ups, A, silent=True)
    assert not hang_ups.is_suspect(A)
    hung_up(hang_ups, A, times=2)
    assert not hang_ups.is_given_up(A)


def test_what_the_bridge_itself_interrupts_is_no_hang_up(hang_ups: HangUps) -> None:
    hung_up(hang_ups, A, times=2)
    hang_ups.asking([A])
    hang_ups.interrupted()
    hang_ups.ended(silent=False)
    assert not hang_ups.is_suspect(A)


def test_care_ends_with_the_records_that_may_have_been_read_together(hang_ups: HangUps) -> None:
    hung_up(hang_ups, A, B)
    hang_ups.committed(CAREFUL - 1, [A])
    hung_up(hang_ups, B)
    hang_ups.committed(CAREFUL - 1, [C])
    assert (hang_ups.careful, hang_ups.is_suspect(B)) == (True, True)
    hang_ups.committed(1, [])
    assert (hang_ups.careful, hang_ups.is_suspect(B)) == (False, False)


def test_what_is_committed_is_forgotten(hang_ups: HangUps) -> None:
    hung_up(hang_ups, A, times=MOST_HANG_UPS)
    hang_ups.committed(1, [B])
    assert hang_ups.is_given_up(A)
    hang_ups.committed(1, [A])
    assert (hang_ups.is_given_up(A), hang_ups.is_suspect(A)) == (False, False)


def test_no_second_record_is_given_up_before_the_broker_has_answered_for_any(hang_ups: HangUps) -> None:
    hung_up(hang_ups, A, times=MOST_HANG_UPS)
    hang_ups.committed(1, [A])
    hung_up(hang_ups, B, times=10 * MOST_HANG_UPS)
    assert not hang_ups.is_given_up(B)
    answered(hang_ups, C)
    hung_up(hang_ups, B)
    assert hang_ups.is_given_up(B)


def test_a_second_record_holds_all_others_up_no_longer_than_the_patience(hang_ups: HangUps, clock: ManualClock) -> None:
    hung_up(hang_ups, A, times=MOST_HANG_UPS)
    hang_ups.committed(1, [A])
    clock.advance(PATIENCE_S - 1)
    hung_up(hang_ups, B, times=MOST_HANG_UPS)
    assert not hang_ups.is_given_up(B)
    clock.advance(1)
    hung_up(hang_ups, B)
    assert hang_ups.is_given_up(B)
    hung_up(hang_ups, C, times=MOST_HANG_UPS)
    assert not hang_ups.is_given_up(C)


def test_messages_of_one_record_are_given_up_together(hang_ups: HangUps) -> None:
    hung_up(hang_ups, A, times=MOST_HANG_UPS)
    hung_up(hang_ups, A_AGAIN, times=MOST_HANG_UPS)
    assert hang_ups.is_given_up(A)
    assert hang_ups.is_given_up(A_AGAIN)


def test_care_lasts_for_all_that_was_read_and_not_committed(hang_ups: HangUps) -> None:
    hang_ups.asking((A, B))
    hang_ups.ended(silent=False, uncommitted=CAREFUL + 3)
    hang_ups.committed(CAREFUL + 2, [])
    assert hang_ups.careful
    hang_ups.committed(1, [])
    assert not hang_ups.careful


def test_care_is_not_shortened_by_a_hang_up_while_it_lasts(hang_ups: HangUps) -> None:
    hang_ups.asking((A, B))
    hang_ups.ended(silent=False, uncommitted=CAREFUL + 3)
    hung_up(hang_ups, C)
    hang_ups.committed(CAREFUL + 2, [])
    assert hang_ups.careful
