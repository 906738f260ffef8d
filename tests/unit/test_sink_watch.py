"""What is told of a sink that is behind: its true lag, and what retention took from it."""

from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from prometheus_client import CollectorRegistry, generate_latest

from infra.roles.sink_watch import SinkWatch
from schemas.clock import ManualClock
from streams.log.client import KafkaOptions
from streams.log.group import Bounds, GroupReader

P0, P1 = ("t", 0), ("t", 1)
WARNING = "not for much longer"


class Watched:
    """A watch with hands on its inputs."""

    def __init__(self, retention_ms: int = -1) -> None:
        self.clock = ManualClock()
        self.oldest_ms: int | None = None
        self._registry = CollectorRegistry()
        self.watch = SinkWatch(
            self._registry,
            "influxdb",
            bounds=self._bounds,
            pass_over=self._pass_over,
            oldest_ms=lambda: self.oldest_ms,
            retention_ms=retention_ms,
            clock=self.clock,
        )

    async def _bounds(self) -> dict[tuple[str, int], Bounds]:
        return {}

    async def _pass_over(self, positions: object) -> None:
        """Nothing is ever asked here."""

    def lost(self) -> float:
        value = self._registry.get_sample_value("twinstream_sink_lost_records_total", {"store": "influxdb"})
        assert value is not None
        assert b"twinstream_sink_oldest_waiting_seconds" in generate_latest(self._registry)
        return value


def test_lag_is_what_the_broker_still_has_and_the_store_has_not() -> None:
    watched = Watched()
    watched.watch.look({P0: Bounds(0, 40, 100), P1: Bounds(30, 10, 50)})
    assert watched.watch.lag == 60 + 20


def test_what_retention_deleted_unstored_is_counted_once_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    watched = Watched()
    for first, lost in ((0, 0), (30, 20), (30, 20), (35, 25), (35, 25)):
        watched.watch.look({P0: Bounds(first, 10, 100)})
        assert watched.lost() == lost
    assert capsys.readouterr().out.count("retention deleted") == 2
    watched.watch.look({P0: Bounds(40, 60, 100)})
    assert watched.lost() == 25


def test_a_sink_that_begins_at_the_beginning_of_a_log_has_lost_nothing() -> None:
    watched = Watched()
    assert watched.watch.look({P0: Bounds(500, None, 900)}) == {P0: 500}
    assert watched.lost() == 0


def test_what_is_deleted_of_a_sink_that_never_stored_anything_is_counted_however_often_it_starts() -> None:
    first, again, later = Watched(), Watched(), Watched()
    done: int | None = first.watch.look({P0: Bounds(0, None, 900)})[P0]
    assert done == 0
    done = again.watch.look({P0: Bounds(30, done, 900)})[P0]
    assert (again.lost(), done) == (30, 30)
    assert later.watch.look({P0: Bounds(30, done, 900)}) == {}
    assert later.lost() == 0


def test_half_of_the_retention_is_an_alarm_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    watched = Watched(retention_ms=60_000)
    watched.oldest_ms = watched.clock.now_ns() // 1_000_000
    for age_s, told in ((29.0, 0), (2.0, 1), (10.0, 0)):
        watched.clock.advance(age_s)
        watched.watch.look({})
        assert capsys.readouterr().out.count(WARNING) == told
    assert watched.watch.age_s() == pytest.approx(41.0)
    watched.oldest_ms = None
    assert watched.watch.age_s() == 0.0


def test_a_log_that_keeps_everything_is_never_an_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    watched = Watched()
    watched.oldest_ms = 0
    watched.clock.advance(1e9)
    watched.watch.look({})
    assert WARNING not in capsys.readouterr().out


class Member:
    """A consumer whose store is away: what it read waits."""

    def __init__(self) -> None:
        self.done = 100
        self.waiting = [ConsumerRecord("t", 0, 1100, 0, 0, None, b"", None, 0, 0, ())]

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("t", 0)}

    async def getmany(self, **_: object) -> dict[TopicPartition, list[Any]]:
        return {TopicPartition("t", 0): self.waiting}

    async def committed(self, _: TopicPartition) -> int:
        return self.done

    async def commit(self, positions: dict[TopicPartition, int]) -> None:
        self.done = positions[TopicPartition("t", 0)]


async def test_nothing_is_passed_over_that_was_read_and_is_not_stored() -> None:
    member, reader = Member(), GroupReader(KafkaOptions("nowhere:1"), group="g", topics=["t"])
    reader._consumer = cast("Any", member)  # noqa: SLF001 - in place of a broker
    await reader.read()
    await reader.pass_over({P0: 5000})
    assert member.done == 100
    await reader.commit()
    assert member.done == 1101
    await reader.pass_over({P0: 5000})
    assert member.done == 5000
