"""When ticks are written to a partition, and that nothing ends it."""

import asyncio
from collections.abc import Iterable
from typing import Any, Self

import pytest

from schemas.clock import NS_PER_S, ManualClock
from schemas.headers import KIND, RECEIVED
from streams import ticker
from streams.partition import PartitionRows
from streams.processor import Lineage
from streams.ticker import PATIENCE_S, LastTick, Ticker, next_tick

START_NS = 1_700_000_000 * NS_PER_S


class _Wanting:
    """A processor that wants ticks."""

    def __init__(self, tick_s: float) -> None:
        self.tick_s = tick_s


def _rows(tick_s: float = 1.0, *, number: int = 0, position: int = 10) -> PartitionRows:
    processor: Any = _Wanting(tick_s)
    return PartitionRows(Lineage("cluster", "topic", number), processor, position, position, 0)


def test_ticks_are_multiples_of_the_period_and_only_grow() -> None:
    clock, last = ManualClock(START_NS + NS_PER_S // 3), LastTick("topic")
    assert next_tick(_rows(0.2), last, 0, clock) == START_NS + NS_PER_S // 5
    last.time_ns = START_NS + NS_PER_S // 5
    assert next_tick(_rows(0.2), last, 0, clock) is None
    clock.advance(0.1)
    assert next_tick(_rows(0.2), last, 0, clock) == START_NS + 2 * NS_PER_S // 5
    assert next_tick(_rows(0.0), last, 0, clock) is None


def test_none_is_written_before_the_last_was_processed() -> None:
    clock = ManualClock(START_NS)
    last = LastTick("topic", 1, clock.monotonic_s(), None)
    assert next_tick(_rows(), last, 0, clock) is None
    last.offset = 10
    assert next_tick(_rows(position=10), last, 5, clock) is None
    assert next_tick(_rows(position=11), last, 5, clock) == START_NS
    clock.advance(PATIENCE_S)
    assert next_tick(_rows(position=10), last, 5, clock) is None
    # Nothing waits, and it never came: the input lost its end.
    assert next_tick(_rows(position=10), last, 0, clock) == START_NS + round(PATIENCE_S) * NS_PER_S


class _Log:
    """Takes records; fails as often as told when it is reached, and when it has one."""

    def __init__(self) -> None:
        self.unreachable = self.failing = 0
        self.written: list[tuple[int, bytes]] = []

    def __call__(self, _options: object) -> Self:
        return self

    async def __aenter__(self) -> Self:
        if self.unreachable:
            self.unreachable -= 1
            raise ConnectionError
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    async def send(
        self, topic: str, key: None, value: bytes, *, headers: Iterable[tuple[str, bytes]], partition: int
    ) -> asyncio.Future[tuple[int, int]]:
        assert (topic, key) == ("input", None)
        assert dict(headers)[KIND] == b"tick"
        assert value == b'{"time_ns":%b}' % dict(headers)[RECEIVED]
        future = asyncio.get_running_loop().create_future()
        if self.failing:
            self.failing -= 1
            future.set_exception(ConnectionError())
        else:
            self.written.append((partition, value))
            future.set_result((partition, len(self.written)))
        return future


async def _run(log: _Log, rows: list[PartitionRows], seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticker, "LogWriter", log)
    monkeypatch.setattr(ticker, "LOOK_S", 0.05)
    kafka: Any = None
    ends = asyncio.get_running_loop().time() + seconds
    await Ticker(kafka, "input", lambda: rows, lambda *_: 0).run(lambda: asyncio.get_running_loop().time() > ends)


async def test_every_owned_partition_gets_its_ticks_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _Log()
    rows = [_rows(0.1, number=1, position=10**6), _rows(0.1, number=4, position=10**6), _rows(0.0, number=5)]
    await _run(log, rows, 1.0, monkeypatch)
    for number in (1, 4):
        values = [value for partition, value in log.written if partition == number]
        assert 5 <= len(values) <= 12
        assert values == sorted(set(values))
    assert {partition for partition, _ in log.written} == {1, 4}


async def test_a_kafka_that_is_away_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _Log()
    log.unreachable, log.failing = 2, 3
    await _run(log, [_rows(0.1, position=10**6)], 1.5, monkeypatch)
    assert log.unreachable == log.failing == 0
    assert log.written


async def test_a_partition_that_does_not_get_on_gets_one_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _Log()
    await _run(log, [_rows(0.1, position=1)], 0.6, monkeypatch)
    assert len(log.written) == 1
