"""An owned partition: what it steps, what a flush takes, and when one is due."""

from collections.abc import Mapping

import msgspec
import pytest

from streams.block import Block
from streams.changelog import POSITION_KEY, Position
from streams.partition import FlushPolicy, PartitionRows
from streams.processor import Lineage, Outcome

POLICY = FlushPolicy(interval_s=0.1, records=100, urgent_interval_s=0.02)


class _Echo:
    """A processor that hands every value on; `!` is urgent, `x` fails."""

    tick_s = 0.0
    may_wait = False
    size_bytes = 0

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes | None] = {}

    def restore(self, rows: Block) -> None:
        self.rows |= {key or b"": value for key, value in rows.pairs()}

    def restored(self) -> Outcome:
        return Outcome()

    def prepare(self) -> None:
        """Nothing is needed."""

    def process(self, block: Block) -> Outcome:
        outcome = Outcome()
        for key, value in block.pairs():
            if value == b"x":
                raise RuntimeError(value)
            outcome.add("out", key, value)
            outcome.count("accepted")
            outcome.urgent |= value == b"!"
            self.rows[key or b""] = value
        return outcome

    def refuse(self, record: Block, detail: str) -> Outcome:
        outcome = Outcome()
        outcome.add("dead", record.key(0), detail.encode())
        return outcome

    def snapshot(self) -> list[tuple[bytes, bytes | None]]:
        rows, self.rows = list(self.rows.items()), {}
        return rows

    def suspect(self, held: Mapping[int, str]) -> None:
        """Nothing is held back."""

    def insists(self, record: Block) -> bool:
        return len(record) != 1

    def note(self) -> Mapping[str, str]:
        return {"layout": "abc"}


def _partition(position: int = 10) -> PartitionRows:
    return PartitionRows(Lineage("cluster", "topic", 0), _Echo(), position, position, 0, told=position)


def _block(first: int, *values: bytes, end: int | None = None) -> Block:
    records = [(first + index, 0, b"k", value, ()) for index, value in enumerate(values)]
    return Block.of_records(0, records, end=end)


def test_records_below_the_position_are_not_stepped_again() -> None:
    owned = _partition(10)
    assert owned.process(_block(8, b"a", b"b", b"c", b"d"), 0.0) == (2, "")
    assert owned.position == 12
    assert owned.process(_block(8, b"a", b"b"), 0.0) == (0, "")
    assert owned.position == 12
    assert [value for _, value, _ in owned.snapshot(0.0).outputs["out"]] == [b"c", b"d"]


def test_the_position_moves_past_holes_at_the_end_of_a_block() -> None:
    owned = _partition()
    owned.process(_block(10, b"a", end=15), 0.0)
    assert (owned.position, owned.unflushed) == (15, 5)


def test_counts_leave_with_the_snapshot_whose_transaction_they_belong_to() -> None:
    owned = _partition()
    owned.process(_block(10, b"a", b"b"), 0.0)
    owned.process(_block(12, b"c"), 0.0)
    assert owned.snapshot(1.0).counts == {("accepted", ""): 3}
    owned.process(_block(13, b"d"), 1.0)
    assert owned.snapshot(2.0).counts == {("accepted", ""): 1}


def test_what_restoring_led_to_is_flushed_although_no_record_comes() -> None:
    owned = _partition()
    owned.take(Outcome(), 0.0)
    assert owned.settled
    assert not owned.flush_due(POLICY, 9.0, 9.0)
    outcome = Outcome()
    outcome.add("documents", b"k", b"v")
    owned.take(outcome, 0.0)
    assert not owned.settled
    assert owned.flush_due(POLICY, 9.0, 9.0)
    taken = owned.snapshot(9.0)
    assert (taken.position, taken.outputs) == (10, {"documents": [(b"k", b"v", ())]})
    assert owned.settled
    assert not owned.flush_due(POLICY, 99.0, 99.0)


def test_a_snapshot_takes_rows_outputs_and_last_of_all_the_position_and_leaves_nothing() -> None:
    owned = _partition()
    owned.process(_block(10, b"a"), 0.0)
    owned.process(_block(11, b"b"), 0.0)
    taken = owned.snapshot(1.0)
    assert taken.rows[0] == (b"k", b"b", ())
    key, value, _ = taken.rows[-1]
    assert key == POSITION_KEY
    assert msgspec.json.decode(value or b"", type=Position) == Position(12, "cluster", "topic", {"layout": "abc"})
    assert (taken.position, taken.output_count()) == (12, 2)
    again = owned.snapshot(2.0)
    assert ([row[0] for row in again.rows], again.outputs) == ([POSITION_KEY], {})


def test_rows_of_a_block_that_failed_half_way_are_never_written() -> None:
    owned = _partition()
    owned.process(_block(10, b"a"), 0.0)
    with pytest.raises(RuntimeError):
        owned.process(_block(11, b"b", b"x"), 0.0)
    assert (owned.position, owned.broken, owned.settled) == (11, True, False)
    assert not owned.flush_due(POLICY, 200.0, 200.0)
    with pytest.raises(RuntimeError, match="rebuilt"):
        owned.snapshot(0.0)
    with pytest.raises(RuntimeError, match="rebuilt"):
        owned.process(_block(11, b"b"), 0.0)


def test_a_record_that_is_given_up_moves_the_position_and_leaves_a_dead_letter() -> None:
    owned = _partition()
    assert owned.give_up(_block(10, b"x"), "why", 0.0) == 1
    assert owned.give_up(_block(10, b"x"), "why", 0.0) == 0
    assert owned.position == 11
    assert owned.snapshot(0.0).outputs == {"dead": [(b"k", b"why", ())]}


def test_rows_are_settled_when_the_log_holds_all_of_them() -> None:
    owned = _partition()
    assert owned.settled
    owned.process(_block(10, b"a"), 0.0)
    assert not owned.settled
    owned.flushed = owned.snapshot(0.0).position
    assert owned.settled


def test_nothing_is_due_without_records() -> None:
    assert not _partition().flush_due(POLICY, 1e9, 1e9)


def test_what_waited_when_the_latest_round_began_is_due_and_what_came_since_is_not() -> None:
    owned = _partition()
    assert not owned.flush_due(POLICY, 100.0, 100.0)
    owned.process(_block(10, b"a"), 100.0)
    assert not owned.flush_due(POLICY, 100.0, 99.9)
    assert owned.flush_due(POLICY, 100.0, 100.0)
    assert owned.flush_due(POLICY, 100.1, 100.0), "its last flush went on while the round began"
    owned.behind = True
    assert not owned.flush_due(POLICY, 100.1, 100.1), "what is behind is flushed rarely"


def test_a_flush_is_due_at_once_after_enough_records() -> None:
    owned = _partition()
    owned.process(_block(10, *[b"a"] * 99), 100.0)
    assert not owned.flush_due(POLICY, 100.0)
    owned.process(_block(109, b"a"), 100.0)
    assert owned.flush_due(POLICY, 100.0)


def test_an_urgent_outcome_is_flushed_at_once_but_not_more_often_than_allowed() -> None:
    owned = _partition()
    owned.process(_block(10, b"!"), 100.0)
    assert owned.flush_due(POLICY, 100.0)
    owned.snapshot(100.0)
    assert not owned.flush_due(POLICY, 100.0)
    owned.process(_block(11, b"!"), 100.01)
    assert not owned.flush_due(POLICY, 100.01)
    assert owned.flush_due(POLICY, 100.021)


def test_a_group_that_does_not_know_the_position_is_told_without_a_record_but_not_too_often() -> None:
    owned = _partition()
    owned.told_s = 100.0
    owned.process(_block(10, b"a"), 100.0)
    owned.flushed = owned.snapshot(100.2).position
    assert not owned.flush_due(POLICY, 100.4)
    assert owned.flush_due(POLICY, 100.6)
    owned.told = owned.flushed
    assert not owned.flush_due(POLICY, 1e9, 1e9)


def test_urgency_stays_until_it_was_flushed() -> None:
    owned = _partition()
    owned.process(_block(10, b"!"), 100.0)
    owned.process(_block(11, b"a"), 100.0)
    assert owned.flush_due(POLICY, 100.0)
