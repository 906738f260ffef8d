"""The decisions of supervision, with a clock that moves only when told to."""

import pytest

from infra.supervisor.roster import (
    BUSY_DELAY_S,
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    Kill,
    Mark,
    Phase,
    Report,
    Roster,
    Start,
    Stop,
)
from schemas.clock import ManualClock


class World:
    """A roster with one running child, and time."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.roster = Roster(stop_timeout_s=5.0)
        assert self.roster.add("a", self.now) == [Start("a")]
        self.roster.started("a", 100, self.now)

    @property
    def now(self) -> float:
        return self.clock.monotonic_s()

    def die(self, *, after_s: float, mark: Mark | None = None, name: str = "a") -> float:
        """Let the child die, start it again; returns how long that took."""
        self.clock.advance(after_s)
        actions = self.roster.exited(name, "signal SIGKILL", self.now, mark)
        assert isinstance(actions[0], Report)
        began = self.now
        if Start(name) not in actions:
            next_s = self.roster.next_s()
            assert next_s is not None
            self.clock.advance(next_s - self.now)
            actions = self.roster.due(self.now)
        assert Start(name) in actions
        self.roster.started(name, 101, self.now)
        return self.now - began


@pytest.fixture
def world() -> World:
    return World()


def test_a_child_that_was_up_for_a_second_is_started_again_at_once_and_reported(world: World) -> None:
    world.clock.advance(1.0)
    report, start = world.roster.exited("a", "signal SIGKILL", world.now)
    assert report == Report("a", "a (pid 100) died (signal SIGKILL), starting it again")
    assert start == Start("a")
    assert world.roster.view()[0].restarts == 1


def test_back_off_grows_only_for_a_child_that_dies_at_once(world: World) -> None:
    delays = [world.die(after_s=0.1) for _ in range(9)]
    assert delays[:3] == pytest.approx([FIRST_DELAY_S, 2 * FIRST_DELAY_S, 4 * FIRST_DELAY_S])
    assert max(delays) == pytest.approx(LONGEST_DELAY_S)
    assert world.die(after_s=60.0) == 0.0
    assert world.die(after_s=0.1) == pytest.approx(FIRST_DELAY_S)


def test_a_child_that_keeps_dying_after_a_second_is_always_started_within_four(world: World) -> None:
    delays = [world.die(after_s=1.5) for _ in range(20)]
    assert delays[:3] == [0.0, 0.0, 0.0]
    assert max(delays) == pytest.approx(BUSY_DELAY_S)


def test_the_death_of_one_child_leaves_the_others_alone(world: World) -> None:
    world.roster.add("b", world.now)
    world.roster.started("b", 200, world.now)
    world.die(after_s=2.0)
    assert {view.name: view.pid for view in world.roster.view()} == {"a": 101, "b": 200}


def test_three_deaths_at_the_same_record_stop_the_child_with_an_alarm(world: World) -> None:
    poison = Mark(3, 42, 43)
    world.die(after_s=2.0, mark=poison)
    world.die(after_s=0.1, mark=poison)
    world.clock.advance(2.0)
    (alarm,) = world.roster.exited("a", "signal SIGSEGV", world.now, poison)
    assert isinstance(alarm, Report)
    assert alarm.alarm
    assert "partition 3, offset 42" in alarm.text
    assert world.roster.phase("a") is Phase.ALARMED
    assert world.roster.next_s() is None
    assert world.roster.stopped()


def test_deaths_in_overlapping_blocks_are_deaths_at_what_they_have_in_common(world: World) -> None:
    for mark in (Mark(3, 41, 43), Mark(3, 0, 50)):
        world.die(after_s=2.0, mark=mark)
    (alarm,) = world.roster.exited("a", "signal SIGSEGV", world.now + 2.0, Mark(3, 42, 60))
    assert isinstance(alarm, Report)
    assert alarm.alarm
    assert "partition 3, offset 42:" in alarm.text


def test_deaths_at_other_records_or_at_none_start_the_count_anew(world: World) -> None:
    for mark in (
        Mark(0, 1, 2),
        Mark(0, 1, 2),
        Mark(0, 2, 3),
        Mark(0, 1, 2),
        None,
        Mark(0, 1, 2),
        Mark(0, 1, 2),
        Mark(1, 1, 2),
    ):
        world.die(after_s=2.0, mark=mark)
    assert world.roster.phase("a") is Phase.RUNNING


def test_an_alarmed_child_gets_a_new_chance_when_it_is_added_again(world: World) -> None:
    for _ in range(2):
        world.die(after_s=2.0, mark=Mark(0, 1, 2))
    world.roster.exited("a", "exit code 1", world.now, Mark(0, 1, 2))
    assert world.roster.add("a", world.now) == [Start("a")]
    world.roster.started("a", 1, world.now)
    world.die(after_s=2.0, mark=Mark(0, 1, 2))
    assert world.roster.phase("a") is Phase.RUNNING


def test_a_child_that_could_not_be_started_counts_as_one_that_died_at_once() -> None:
    roster = Roster()
    roster.add("a", 0.0)
    actions = roster.exited("a", "no such file", 0.0)
    assert actions == [Report("a", "a died (no such file), starting it again in 0.5 s")]


def test_stop_asks_every_child_and_kills_the_one_that_does_not_listen(world: World) -> None:
    world.roster.add("b", world.now)
    world.roster.started("b", 200, world.now)
    assert world.roster.stop(None, world.now) == [Stop("a"), Stop("b")]
    assert world.roster.exited("a", "exit code 0", world.now) == []
    assert not world.roster.stopped()
    world.clock.advance(5.0)
    actions = world.roster.due(world.now)
    assert Kill("b") in actions
    assert world.roster.exited("b", "signal SIGKILL", world.now) == []
    assert world.roster.stopped()
    assert world.roster.next_s() is None


def test_stop_forgets_a_child_that_waits_for_its_next_start(world: World) -> None:
    world.roster.exited("a", "exit code 70", world.now)
    assert world.roster.stop(None, world.now) == []
    assert world.roster.stopped()
    world.clock.advance(60.0)
    assert world.roster.due(world.now) == []


def test_restart_starts_again_once_the_old_one_has_ended(world: World) -> None:
    assert world.roster.restart("a", world.now) == [Stop("a")]
    assert world.roster.exited("a", "exit code 0", world.now) == [Start("a")]


def test_adding_a_child_that_runs_changes_nothing(world: World) -> None:
    assert world.roster.add("a", world.now) == []
