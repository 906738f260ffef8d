"""Waiting for a broker: delays that grow and start anew, one log line each way, and leaving what does not answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from connectors.observer import Silent
from connectors.ports import BrokerAwayError
from connectors.reconnect import LONGEST_DELAY_S, STEADY_AFTER_S, Outage, Reachability, first_failure, leaving_within
from schemas.clock import ManualClock

AWAY = BrokerAwayError("nobody there")


def outage() -> tuple[Outage, ManualClock]:
    clock = ManualClock()
    return Outage("in", clock, Silent(), Reachability("mqtt", clock)), clock


def test_delays_double_with_jitter_up_to_the_longest() -> None:
    made, _ = outage()
    delays = [made.began(AWAY) for _ in range(12)]
    for number, delay_s in enumerate(delays):
        full_s = min(0.1 * 2**number, LONGEST_DELAY_S)
        assert full_s / 2 <= delay_s <= full_s
    assert len(set(delays)) == len(delays)


def test_delays_grow_when_the_connection_is_cut_at_once_and_start_anew_after_a_steady_one() -> None:
    made, clock = outage()
    for _ in range(8):
        made.over()
        clock.advance(STEADY_AFTER_S / 2)
        delay_s = made.began(AWAY)
    assert delay_s >= LONGEST_DELAY_S / 2
    made.over()
    clock.advance(STEADY_AFTER_S)
    assert made.began(AWAY) <= 0.1


def test_one_log_line_when_it_goes_away_and_one_when_it_is_back() -> None:
    made, clock = outage()
    with capture_logs() as lines:
        made.over()
        for _ in range(5):
            made.began(AWAY)
            clock.advance(1.0)
        made.over()
    assert [line["event"] for line in lines] == ["connected", "broker is away", "broker is back"]
    assert lines[1]["reason"] == "nobody there"
    assert lines[2]["away_s"] == 5.0


def test_both_directions_together_say_one_line_when_it_goes_away_and_one_when_it_is_back() -> None:
    clock = ManualClock()
    reachability = Reachability("mqtt", clock)
    ways = [Outage(direction, clock, Silent(), reachability) for direction in ("in", "out")]
    with capture_logs() as lines:
        for way in ways:
            way.over()
        for _ in range(2):
            for way in (*ways, *ways):
                way.began(AWAY)
            clock.advance(2.0)
            for way in ways:
                way.over()
    assert [line["event"] for line in lines] == ["connected", "connected", *("broker is away", "broker is back") * 2]
    assert [line["away_s"] for line in lines if "away_s" in line] == [2.0, 2.0]


async def test_first_failure_ends_the_others() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waits")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise AWAY

    with pytest.raises(BrokerAwayError):
        await first_failure(waits(), fails())
    assert ended == ["waits"]


async def test_what_can_not_be_left_in_time_goes_on_leaving_by_itself() -> None:
    gate, left = asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def slow() -> AsyncIterator[int]:
        yield 7
        await gate.wait()
        left.set()

    async with leaving_within(slow(), 0.05) as entered:
        assert entered == 7
    assert not left.is_set()
    gate.set()
    async with asyncio.timeout(1):
        await left.wait()
