"""Which children the worker starts, starts anew and stops."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from infra.roles.condemned import Condemned
from infra.roles.forgiving import forgive_once
from infra.roles.worker import Changes, changes
from schemas.deployment import HistoryItem

TYPES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(("v1", "v2")))


def test_a_new_type_starts_a_retired_one_stops_and_another_version_starts_nothing() -> None:
    assert changes({"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == Changes(start=("c",), mend=(), stop=("a",))


def test_a_type_that_was_given_up_starts_again_with_another_version() -> None:
    assert changes({"a": "1", "b": "1"}, {"a": "2", "b": "1"}, {"a", "b"}).mend == ("a",)


def test_every_version_that_a_process_died_of_stays_condemned_until_it_is_wanted_again(tmp_path: Path) -> None:
    running: dict[str, str] = {}
    for now in ("1", "2", "3", "1"):
        Condemned(tmp_path).note({"a"}, running, {"a": now, "b": "7"}, "ab")
        running = {"a": now, "b": "7"}
        assert now not in Condemned(tmp_path).of("a")
    assert Condemned(tmp_path).of("a") == {"2", "3"}
    Condemned(tmp_path).note((), running, {"b": "7"}, "b")
    assert not Condemned(tmp_path).of("a")
    assert not Condemned(tmp_path).of("b")


def test_a_version_that_a_process_died_of_is_remembered_by_the_next_worker(tmp_path: Path) -> None:
    Condemned(tmp_path).note({"a"}, {"a": "broken"}, {"a": "broken"}, "a")
    # It was replaced while no worker ran: nobody saw the change.
    Condemned(tmp_path).note((), {}, {"a": "mended"}, "a")
    assert Condemned(tmp_path).of("a") == {"broken"}
    Condemned(tmp_path).note((), {}, {"a": "broken"}, "a")
    assert not Condemned(tmp_path).of("a"), "what is wanted gets another chance at every start"


def test_what_was_undeployed_while_no_worker_ran_is_forgotten_and_other_workers_types_are_not(tmp_path: Path) -> None:
    for name in "ab":
        Condemned(tmp_path).note({name}, {name: "1"}, {name: "2"}, "ab")
    Condemned(tmp_path).note((), {}, {"c": "1"}, "bc")
    assert Condemned(tmp_path).types() == ["b"]


def test_a_note_of_them_that_is_damaged_stops_nobody_and_is_kept_aside(tmp_path: Path) -> None:
    for content in (b"{", b'{"a": 5}', b"[]"):
        (tmp_path / "condemned.json").write_bytes(content)
        with capture_logs() as logs:
            assert not Condemned(tmp_path).of("a")
            Condemned(tmp_path).note({"a"}, {"a": "1"}, {"a": "2"}, "a")
        assert Condemned(tmp_path).of("a") == {"1"}
        aside = tmp_path / "condemned.unreadable"
        assert aside.read_bytes() == content
        assert [entry["kept_as"] for entry in logs] == [str(aside)]


async def test_a_version_is_forgiven_when_every_partition_is_past_the_switch_behind_it(tmp_path: Path) -> None:
    positions = {("twinstream.a.telemetry", 0): 6, ("twinstream.a.telemetry", 1): 3}
    admin: Any = SimpleNamespace(committed=AsyncMock(return_value=positions))
    item = HistoryItem(type="a", version="2.0.0", hash="2", chunks=1, time_ns=1, who="", start={0: 5, 1: 3})
    found = SimpleNamespace(bundle=SimpleNamespace(hash="2"))
    catalogue: Any = SimpleNamespace(get=lambda _: found, history=lambda _: [item])
    condemned = Condemned(tmp_path)
    condemned.note({"a"}, {"a": "1"}, {"a": "2"}, "a")
    condemned.note({"a"}, {"a": "2"}, {"a": "2"}, "a")
    await forgive_once(admin, catalogue, condemned)
    assert condemned.of("a") == {"1", "2"}, "partition 1 stands before the switch"
    positions["twinstream.a.telemetry", 1] = 4
    await forgive_once(admin, catalogue, condemned)
    assert condemned.of("a") == {"2"}


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
