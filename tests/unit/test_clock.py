"""Clocks that an hour's jump of the host's clock does not reach."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from infra.http.backend import open_services
from infra.roles import bridge
from infra.settings import Settings
from schemas.clock import NS_PER_S, AnchoredClock, Clock, ManualClock
from streams.log.client import KafkaOptions

HOUR_NS = 3600 * NS_PER_S
START_NS = 1_760_000_000 * NS_PER_S


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_an_anchored_clock_does_not_jump(jump_s: float) -> None:
    clock = ManualClock(START_NS)
    anchored = AnchoredClock(clock)
    clock.advance(2.5)
    clock.jump(jump_s)
    assert anchored.now_ns() == START_NS + 5 * NS_PER_S // 2
    assert clock.now_ns() != anchored.now_ns()


def _jumping(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The host's clock, and what sets it an hour forward."""
    real, ahead_ns = time.time_ns, [0]
    monkeypatch.setattr(time, "time_ns", lambda: real() + ahead_ns[0])

    def jump() -> None:
        ahead_ns[0] = HOUR_NS

    return jump


@pytest.mark.parametrize("broker", ["mqtt", "amqp"])
def test_a_bridge_stamps_arrivals_by_a_clock_that_does_not_jump(monkeypatch: pytest.MonkeyPatch, broker: str) -> None:
    clocks: list[Clock] = []

    def connector(_: object, clock: Clock) -> Any:
        clocks.append(clock)

    monkeypatch.setitem(bridge.CONNECTORS, broker, connector)
    jump = _jumping(monkeypatch)
    bridge.body(broker, Settings.model_validate({broker: {"url": f"{broker}://127.0.0.1:1"}}))
    before_ns = clocks[0].now_ns()
    jump()
    assert 0 <= clocks[0].now_ns() - before_ns < HOUR_NS // 60


async def test_requests_arrive_by_a_clock_that_does_not_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    jump = _jumping(monkeypatch)
    nobody: Any = None
    async with open_services(KafkaOptions("127.0.0.1:1"), series=nobody, documents=nobody) as services:
        before_ns = services.clock.now_ns()
        jump()
        assert 0 <= services.clock.now_ns() - before_ns < HOUR_NS // 60
