"""Which children the worker starts and stops."""

from hypothesis import given
from hypothesis import strategies as st

from infra.roles.worker import Changes, changes

TYPES = st.sets(st.sampled_from("abcdef"))


def test_a_new_type_starts_and_a_retired_one_stops() -> None:
    assert changes(["a", "b"], ["b", "c"]) == Changes(("c",), ("a",))


@given(TYPES, TYPES)
def test_afterwards_exactly_the_wanted_types_run(running: set[str], wanted: set[str]) -> None:
    todo = changes(running, wanted)
    after = running - set(todo.stop) | set(todo.start)
    assert after == wanted
    assert not set(todo.start) & set(running)
    assert changes(after, wanted) == Changes((), ())
