# ruff: noqa: SLF001  # Kafka is made up
"""The watchdog's thread: it ends a worker that stands still, and no other."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from infra.roles.stuck import StuckWatchdog
from infra.supervisor.process import STUCK, how_ended
from streams.log.client import KafkaOptions
from streams.stillness import Look


class _World:
    """An input that grows at every look, and how the worker was ended."""

    def __init__(self) -> None:
        self.end_offset = 10
        self.away = False
        self.look = Look(5)
        self.looks = 0
        self.ended = threading.Event()
        self.code: int | None = None

    def seen(self) -> dict[int, Look]:
        self.looks += 1
        return {0: self.look}

    def ends(self) -> dict[int, int] | None:
        self.end_offset += 1
        return None if self.away else {0: self.end_offset}

    def end(self, code: int) -> None:
        self.code = code
        self.ended.set()


@pytest.fixture
def world() -> _World:
    return _World()


@pytest.fixture
def watchdog(world: _World) -> Iterator[Any]:
    made: Any = StuckWatchdog(KafkaOptions("127.0.0.1:1"), "input", world.seen, 0.24, world.end)
    made._ends = world.ends
    with made:
        yield made
    made._thread.join(5)


def test_a_worker_that_stands_still_is_ended(world: _World, watchdog: Any) -> None:
    assert world.ended.wait(5)
    assert world.code == STUCK
    assert "watchdog" in how_ended(STUCK)
    assert watchdog


def test_one_that_waits_for_a_version_is_not(world: _World, watchdog: Any) -> None:
    world.look = Look(5, excused=True)
    assert not world.ended.wait(0.6)
    assert world.looks > 4
    assert watchdog


def test_nor_is_one_whose_kafka_is_away(world: _World, watchdog: Any) -> None:
    world.away = True
    assert not world.ended.wait(0.6)
    assert watchdog


def test_nor_is_one_that_was_frozen_itself_however_long(world: _World, monkeypatch: pytest.MonkeyPatch) -> None:
    late_s = [0.0]

    class _Clock:
        def monotonic_s(self) -> float:
            return time.monotonic() + late_s[0]

    made: Any = StuckWatchdog(KafkaOptions("127.0.0.1:1"), "input", world.seen, 3.0, world.end, clock=_Clock())  # type: ignore[arg-type]
    monkeypatch.setattr(made, "_ends", world.ends)
    with made:
        time.sleep(0.6)
        late_s[0] = 1000.0
        assert not world.ended.wait(0.6)
    made._thread.join(5)


def test_kafka_that_does_not_answer_counts_as_away() -> None:
    watchdog: Any = StuckWatchdog(KafkaOptions("127.0.0.1:1"), "input", dict, 60.0)
    began_s = time.monotonic()
    assert watchdog._ends() is None
    assert time.monotonic() - began_s < 8
