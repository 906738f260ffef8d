"""What counts as standing still, and what does not."""

from streams.stillness import ASSIGNMENT, Look, Stillness


def test_a_partition_that_does_not_move_while_its_input_grows_is_found_after_the_limit() -> None:
    stillness = Stillness(60.0)
    assert stillness.look({3: Look(10)}, {3: 20}, 0.0) == {}
    for turn in range(11):
        assert stillness.look({3: Look(10)}, {3: 30 + turn}, 5.0) == {}
    assert stillness.look({3: Look(10)}, {3: 41}, 5.0) == {3: 60.0}


def test_one_that_moves_a_little_or_has_nothing_to_do_is_left_alone() -> None:
    stillness = Stillness(10.0)
    for turn in range(10):
        assert stillness.look({0: Look(turn), 1: Look(7)}, {0: 1000 * turn + 1000, 1: 7}, 5.0) == {}


def test_lag_that_does_not_grow_is_left_alone() -> None:
    stillness = Stillness(10.0)
    for _ in range(10):
        assert stillness.look({0: Look(5)}, {0: 9}, 5.0) == {}


def test_time_that_is_excused_is_not_counted_but_what_came_before_it_is() -> None:
    stillness = Stillness(10.0)
    stillness.look({0: Look(5)}, {0: 9}, 0.0)
    stillness.look({0: Look(5)}, {0: 10}, 6.0)
    for turn in range(10):
        assert stillness.look({0: Look(5, excused=True)}, {0: 11 + turn}, 5.0) == {}
    assert stillness.look({0: Look(5)}, {0: 30}, 5.0) == {0: 11.0}


def test_a_partition_that_was_given_away_meanwhile_begins_anew() -> None:
    stillness = Stillness(10.0)
    stillness.look({0: Look(5)}, {0: 9}, 0.0)
    stillness.look({0: Look(5)}, {0: 10}, 9.0)
    stillness.look({}, {0: 11}, 5.0)
    assert stillness.look({0: Look(5)}, {0: 12}, 5.0) == {}
    assert stillness.look({0: Look(5)}, {0: 13}, 5.0) == {}


def test_an_opening_gets_on_while_it_reads_and_is_found_once_it_does_not() -> None:
    stillness = Stillness(10.0)
    for turn in range(10):
        assert stillness.look({0: Look(5, turn)}, {0: 9 + turn}, 5.0) == {}
    assert stillness.look({0: Look(5, 9)}, {0: 30}, 5.0) == {}
    assert stillness.look({0: Look(5, 9)}, {0: 31}, 5.0) == {0: 10.0}


def test_an_assignment_that_does_not_end_is_found_where_anything_comes_in() -> None:
    stillness = Stillness(10.0)
    look = {ASSIGNMENT: Look(ASSIGNMENT, 7)}
    for _ in range(5):
        assert stillness.look(look, {0: 5, 1: 9}, 5.0) == {}
    assert stillness.look(look, {0: 5, 1: 10}, 5.0) == {ASSIGNMENT: 25.0}
    assert stillness.look({ASSIGNMENT: Look(ASSIGNMENT, 8)}, {0: 5, 1: 11}, 5.0) == {}, "the next one"
