# ruff: noqa: SLF001  # Kafka is made up
"""What a standby makes of a changelog that it can't follow: when it tries again, what it tells, what counts as warm."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from streams.backoff import Backoff
from streams.kept_warm import FAR, NEAR, KeptWarm
from streams.log.client import KafkaOptions
from streams.options import EngineOptions
from streams.processor import SilentObserver
from streams.standby import Standby
from streams.warm import WarmRows

LIMIT_S = 100.0


def _rows(at: int = 0, current_s: float = 0.0) -> WarmRows:
    nothing: Any = SimpleNamespace(size_bytes=0)
    return WarmRows(nothing, "id", nothing, at, None, {}, current_s)


def _follower(at: int = 0) -> KeptWarm:
    return KeptWarm(0, _rows(at))


def test_delays_double_up_to_the_longest_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(1.0, 8.0)
    delays = [backoff.failed() for _ in range(6)]
    for delay_s, longest_s in zip(delays, (1, 2, 4, 8, 8, 8), strict=True):
        assert longest_s / 2 <= delay_s <= longest_s
    assert backoff.over() == 6
    assert (backoff.over(), backoff.failed() <= 1.0) == (0, True)


def test_those_who_fail_together_do_not_try_again_together() -> None:
    assert len({Backoff(1.0, 8.0).failed() for _ in range(20)}) > 10


def test_rows_that_caught_up_stay_warm_until_they_are_far_behind() -> None:
    follower = _follower()
    follower.look(2 * NEAR, 0.0, LIMIT_S)
    assert follower.behind is None
    follower.look(NEAR, 0.0, LIMIT_S)
    assert follower.behind == NEAR
    follower.look(FAR, 0.0, LIMIT_S)
    assert follower.behind == FAR, "a burst of rows does not make them cold"
    follower.look(FAR + 1, 0.0, LIMIT_S)
    assert follower.behind is None, "who takes over would read them for long"
    follower.look(FAR, 0.0, LIMIT_S)
    assert follower.behind is None
    follower.look(NEAR, 0.0, LIMIT_S)
    assert follower.behind == NEAR
    follower.begin_anew()
    assert follower.behind is None


def test_a_failure_is_over_only_behind_the_place_of_it() -> None:
    follower = _follower()
    with capture_logs() as lines:
        for _ in range(3):
            follower.failed("bad", 50)
            follower.rows = _rows(40)
            follower.look(60, 0.0, LIMIT_S)
        assert follower.wait_s > 0.9
        follower.rows = _rows(50)
        follower.look(60, 0.0, LIMIT_S)
    assert [line["event"][:20] for line in lines] == ["standby begins anew,", "standby follows agai"]
    assert follower.wait_s == 0


def test_rows_are_current_as_of_the_question_where_the_changelog_ended_once_they_are_there() -> None:
    follower = _follower(at=10)
    rows: Any = follower.rows
    follower.asked(20, 60.0)
    follower.look(20, 70.0, LIMIT_S)
    assert rows.current_s == 0.0
    rows.at = 20
    follower.look(25, 90.0, LIMIT_S)
    assert rows.current_s == 60.0
    follower.look(25, 161.0, LIMIT_S)
    assert follower.rows is None


def test_an_answer_that_came_after_a_long_sleep_does_not_make_old_rows_current() -> None:
    follower = _follower(at=20)
    follower.asked(20, 150.0)
    follower.look(20, 150.0, LIMIT_S)
    assert follower.rows is None


class _Watch(SilentObserver):
    """Remembers how far behind everything was."""

    def __init__(self) -> None:
        self.behind: list[Mapping[int, int | None]] = []

    def warm(self, partitions: Mapping[int, int | None], size_bytes: int) -> None:  # noqa: ARG002
        self.behind.append(partitions)


class _Consumer:
    """A consumer whose Kafka is away, or not."""

    away = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def assign(self, _places: list[TopicPartition]) -> None: ...

    def seek(self, _place: TopicPartition, _at: int) -> None: ...

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("changelog", 0)}

    async def getmany(self, **_: object) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0.01)
        if self.away:
            message = "away"
            raise ConnectionError(message)
        return {}

    async def end_offsets(self, places: set[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)

    def last_stable_offset(self, _place: TopicPartition) -> int:
        return 0


async def test_every_outage_is_told_once_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.standby._ASK_S", 0.0)
    monkeypatch.setattr("streams.standby._FIRST_RECONNECT_S", 0.01)
    monkeypatch.setattr("streams.standby._LONGEST_RECONNECT_S", 0.05)
    options = EngineOptions(KafkaOptions("127.0.0.1:1"), "group", "source", "changelog", "cluster", tmp_path)
    nobody: Any = None
    standby, consumer = Standby(options, nobody, SilentObserver(), nobody, lambda: None), _Consumer()
    monkeypatch.setattr(standby, "_consumer", lambda: consumer)
    with capture_logs() as lines:
        standby.keep(frozenset({0}), frozenset(), {0: _rows(current_s=standby._clock.running_s())})
        for away in (True, False, True, False):
            consumer.away = away
            await asyncio.sleep(0.2)
    await standby.close()
    outage = ["changelogs can't be followed, trying again", "changelogs are followed again"]
    assert [line["event"] for line in lines] == [*outage, *outage]


async def test_nothing_is_warm_once_changelogs_were_away_for_long_and_soon_after_they_are_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.standby._FIRST_RECONNECT_S", 0.01)
    monkeypatch.setattr("streams.standby._LONGEST_RECONNECT_S", 0.02)
    monkeypatch.setattr("streams.standby._AWAY_S", 0.2)
    options = EngineOptions(KafkaOptions("127.0.0.1:1"), "group", "source", "changelog", "cluster", tmp_path)
    nobody: Any = None
    watch = _Watch()
    standby, consumer = Standby(options, nobody, watch, nobody, lambda: None), _Consumer()
    monkeypatch.setattr(standby, "_consumer", lambda: consumer)

    async def until(warm: set[int]) -> None:
        async with asyncio.timeout(5):
            while standby.warm != warm:  # noqa: ASYNC110 - it looks by itself
                await asyncio.sleep(0.01)

    consumer.away = False
    standby.keep(frozenset({0}), frozenset(), {0: _rows(current_s=standby._clock.running_s())})
    await until({0})
    consumer.away = True
    await asyncio.sleep(0.1)
    assert standby.warm == {0}, "a moment makes nothing cold"
    consumer.away = False
    await asyncio.sleep(0.3)
    assert standby.warm == {0}
    assert {0: None} not in watch.behind, "nor later"
    consumer.away = True
    await until(set())
    assert watch.behind[-1] == {0: None}
    consumer.away = False
    await until({0})
    await standby.close()


def test_a_standby_is_back_within_seconds_however_long_the_outage_was(tmp_path: Path) -> None:
    options = EngineOptions(KafkaOptions("127.0.0.1:1"), "group", "source", "changelog", "cluster", tmp_path)
    nobody: Any = None
    standby = Standby(options, nobody, SilentObserver(), nobody, lambda: None)
    assert max(standby._backoff.failed() for _ in range(100)) <= 5.0
