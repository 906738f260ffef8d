"""Which children the worker starts, restarts and stops."""

from hypothesis import given
from hypothesis import strategies as st

from infra.roles.worker import Changes, changes

TYPES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(("v1", "v2")))


def test_a_new_type_starts_a_changed_one_restarts_and_a_retired_one_stops() -> None:
    assert changes({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"}) == Changes(("d",), ("b",), ("a",))


@given(TYPES, TYPES)
def test_afterwards_exactly_the_wanted_types_run(running: dict[str, str], wanted: dict[str, str]) -> None:
    todo = changes(running, wanted)
    after = {name: value for name, value in running.items() if name not in todo.stop}
    after |= {name: wanted[name] for name in (*todo.start, *todo.restart)}
    assert after == wanted
    assert not set(todo.start) & set(running)
    assert changes(after, wanted) == Changes((), (), ())
