"""Which children the worker starts, starts anew and stops."""

from hypothesis import given
from hypothesis import strategies as st

from infra.roles.worker import Changes, changes, condemn

TYPES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(("v1", "v2")))


def test_a_new_type_starts_a_retired_one_stops_and_another_version_starts_nothing() -> None:
    assert changes({"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == Changes(start=("c",), mend=(), stop=("a",))


def test_a_type_that_was_given_up_starts_again_with_another_version() -> None:
    assert changes({"a": "1", "b": "1"}, {"a": "2", "b": "1"}, {"a", "b"}).mend == ("a",)


def test_every_version_that_a_process_died_of_stays_condemned_until_it_is_wanted_again() -> None:
    condemned: dict[str, set[str]] = {}
    for before, now in [("1", "2"), ("2", "3"), ("3", "1")]:
        todo = changes({"a": before}, {"a": now}, {"a"})
        condemn(condemned, todo, {"a": before}, {"a": now})
        assert before in condemned["a"]
        assert now not in condemned["a"]
    assert condemned["a"] == {"2", "3"}
    condemn(condemned, changes({"a": "1"}, {}), {"a": "1"}, {})
    assert not condemned


@given(TYPES, TYPES, st.sets(st.sampled_from("abcdef")))
def test_afterwards_exactly_the_wanted_types_run(
    running: dict[str, str], wanted: dict[str, str], given_up: set[str]
) -> None:
    todo = changes(running, wanted, given_up)
    after = running.keys() - set(todo.stop) | set(todo.start)
    assert after == wanted.keys()
    assert not set(todo.start) & set(running)
    assert set(todo.mend) <= wanted.keys() & running.keys() & given_up
    assert changes(wanted, wanted, given_up) == Changes((), (), ())
