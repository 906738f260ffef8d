"""Which children the worker starts, starts anew and stops."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from infra.roles.condemned import Condemned
from infra.roles.worker import Changes, changes

TYPES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(("v1", "v2")))


def test_a_new_type_starts_a_retired_one_stops_and_another_version_starts_nothing() -> None:
    assert changes({"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == Changes(start=("c",), mend=(), stop=("a",))


def test_a_type_that_was_given_up_starts_again_with_another_version() -> None:
    assert changes({"a": "1", "b": "1"}, {"a": "2", "b": "1"}, {"a", "b"}).mend == ("a",)


def test_every_version_that_a_process_died_of_stays_condemned_until_it_is_wanted_again(tmp_path: Path) -> None:
    running: dict[str, str] = {}
    for now in ("1", "2", "3", "1"):
        Condemned(tmp_path).note({"a"}, running, {"a": now, "b": "7"})
        running = {"a": now, "b": "7"}
        assert now not in Condemned(tmp_path).of("a")
    assert Condemned(tmp_path).of("a") == {"2", "3"}
    Condemned(tmp_path).note((), running, {"b": "7"})
    assert not Condemned(tmp_path).of("a")
    assert not Condemned(tmp_path).of("b")


def test_a_version_that_a_process_died_of_is_remembered_by_the_next_worker(tmp_path: Path) -> None:
    Condemned(tmp_path).note({"a"}, {"a": "broken"}, {"a": "broken"})
    # It was replaced while no worker ran: nobody saw the change.
    Condemned(tmp_path).note((), {}, {"a": "mended"})
    assert Condemned(tmp_path).of("a") == {"broken"}
    Condemned(tmp_path).note((), {}, {"a": "broken"})
    assert not Condemned(tmp_path).of("a"), "what is wanted gets another chance at every start"


def test_a_note_of_them_that_is_damaged_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "condemned.json").write_bytes(b"{")
    assert not Condemned(tmp_path).of("a")
    Condemned(tmp_path).note({"a"}, {"a": "1"}, {"a": "2"})
    assert Condemned(tmp_path).of("a") == {"1"}


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
