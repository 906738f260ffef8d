"""When to try a broker again, and what to say about it."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import structlog

from connectors.observer import BridgeObserver
from connectors.ports import BrokerAwayError
from schemas.clock import Clock

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0
STEADY_AFTER_S = 5.0
"""A connection that lasted this long starts the delays anew; one that is cut at once makes them grow."""

LEAVE_TIMEOUT_S = 3.0
"""What a client of Kafka gets to finish, when the bridge stops."""

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Reachability:
    """What the log says of one broker: one line when it goes away and one when it is back, for all directions."""

    def __init__(self, broker: str, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._away: set[str] = set()
        self._away_since_s: float | None = None

    def up(self, direction: str) -> None:
        """This direction is connected; the broker is back when every one is that was not."""
        self._away.discard(direction)
        if self._away_since_s is None:
            log.info("connected", broker=self._broker, direction=direction)
        elif not self._away:
            away_s = round(self._clock.monotonic_s() - self._away_since_s, 1)
            self._away_since_s = None
            log.info("broker is back", broker=self._broker, away_s=away_s)

    def away(self, direction: str, error: BrokerAwayError) -> None:
        """This direction has no connection."""
        if not self._away:
            self._away_since_s = self._clock.monotonic_s()
            log.warning("broker is away", broker=self._broker, direction=direction, reason=str(error))
        self._away.add(direction)


class Outage:
    """Delays between the attempts of one direction to connect."""

    def __init__(self, direction: str, clock: Clock, observer: BridgeObserver, reachability: Reachability) -> None:
        self._direction = direction
        self._clock = clock
        self._observer = observer
        self._reachability = reachability
        self._failures = 0
        self._up_since_s: float | None = None

    def over(self) -> None:
        """The connection is up."""
        self._up_since_s = self._clock.monotonic_s()
        self._reachability.up(self._direction)
        self._observer.connected(self._direction, up=True)

    def began(self, error: BrokerAwayError) -> float:
        """The connection failed; return how many seconds to wait."""
        if self._up_since_s is not None and self._clock.monotonic_s() - self._up_since_s >= STEADY_AFTER_S:
            self._failures = 0
        self._up_since_s = None
        self._reachability.away(self._direction, error)
        self._observer.connected(self._direction, up=False)
        delay_s = min(FIRST_DELAY_S * 2.0 ** min(self._failures, 16), LONGEST_DELAY_S)
        self._failures += 1
        return delay_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret


@asynccontextmanager
async def leaving_within(context: AbstractAsyncContextManager[T], timeout_s: float) -> AsyncIterator[T]:
    """Enter `context`; when it can't be left in time, because Kafka is away, let it go on leaving by itself.

    A bridge that is told to stop must not wait for a Kafka that may never come back: what was not written was not
    acknowledged either.
    """
    entered = await context.__aenter__()
    try:
        yield entered
    finally:
        leaving = asyncio.ensure_future(context.__aexit__(None, None, None))
        _still_leaving.add(leaving)
        leaving.add_done_callback(_still_leaving.discard)
        await asyncio.wait((leaving,), timeout=timeout_s)
        if leaving.done():
            leaving.result()


_still_leaving: set[asyncio.Future[bool | None]] = set()


async def first_failure(*tasks: Coroutine[Any, Any, None]) -> None:
    """Run `tasks` until one ends; cancel the others and raise what it raised."""
    running = [asyncio.create_task(task) for task in tasks]
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in running:
            if not task.done():
                task.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
