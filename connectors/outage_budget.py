"""How long a bridge may be away before its broker drops messages, compared with how long it is meant to be able to.

A broker's queue for an absent bridge is all that devices have meanwhile, and most brokers drop silently what goes
beyond it. No protocol tells its length: it is known of the embedded broker, and of others from the settings.
"""

import asyncio
import math
from collections import deque
from typing import NoReturn

import structlog

from connectors.broker_settings import BrokerSettings
from schemas.clock import Clock

log = structlog.get_logger(__name__)

LOOK_S = 60.0
"""The measured rate is the mean of so long."""
_WORSE = 1.5
"""It is told again when it got worse by this factor, not with every look."""


class OutageBudget:
    """Warns when the broker's queue is shorter than the outage that it is to carry; `run` until cancelled.

    Args:
        broker: For log lines.
        settings: With `queue_limit`, `expected_rate`, `outage_budget_s`.
        clock: Measures the rate.
    """

    def __init__(self, broker: str, settings: BrokerSettings, clock: Clock) -> None:
        self._broker = broker
        self._settings = settings
        self._clock = clock
        self._received = 0
        self._rate = settings.expected_rate
        self._looks: deque[float] = deque(maxlen=1 + math.ceil(settings.outage_budget_s / LOOK_S))
        self._told_s = float("inf")

    def received(self, messages: int) -> None:
        """So many more messages came."""
        self._received += messages

    def survived_s(self) -> float | None:
        """Seconds without a bridge at the highest rate so far, None when length or rate are not known."""
        if not self._settings.queue_limit or not self._rate:
            return None
        return self._settings.queue_limit / self._rate

    def at_start(self) -> None:
        """Say what is known before the first message."""
        settings = self._settings
        if settings.queue_limit:
            self._compare()
        elif settings.limited_queue:
            log.info(
                "it is not known how many messages the broker keeps while the bridge is away:"
                " set queue_limit to its own limit (max_queued_messages of Mosquitto, 1000 unless set)",
                broker=self._broker,
            )

    def measured(self, rate: float) -> None:
        """Compare anew, for messages per second of a while.

        What counts is the least of so many looks as make up the outage budget, and one: what had gathered at the broker
        comes faster than devices send, but a queue that lasts for so long is longer than the budget.
        """
        self._looks.append(rate)
        if len(self._looks) == self._looks.maxlen and min(self._looks) > self._rate:
            self._rate = min(self._looks)
            self._compare()

    async def run(self) -> NoReturn:
        """Look at the rate from time to time."""
        self.at_start()
        while True:
            before, began_s = self._received, self._clock.monotonic_s()
            await asyncio.sleep(LOOK_S)
            self.measured((self._received - before) / (self._clock.monotonic_s() - began_s))

    def _compare(self) -> None:
        survived_s = self.survived_s()
        if survived_s is None or survived_s >= self._settings.outage_budget_s or survived_s * _WORSE > self._told_s:
            return
        self._told_s = survived_s
        log.warning(
            "the broker's queue is shorter than the outage budget: it drops messages of longer outages",
            broker=self._broker,
            queue_limit=self._settings.queue_limit,
            rate=round(self._rate, 1),
            survived_s=round(survived_s, 1),
            outage_budget_s=self._settings.outage_budget_s,
        )
