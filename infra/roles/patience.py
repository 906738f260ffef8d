"""Waiting for a store that is away: longer each time, one log line when it goes and one when it is back."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from connectors.stores import StoreUnavailableError
from schemas.clock import Clock

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0

log = structlog.get_logger(__name__)


class Patience:
    """Repeats what a store can't do now.

    Args:
        store: For the log lines.
        clock: Measures the outage.
        said: Told what is waited for, `""` when nothing is.
    """

    def __init__(self, store: str, clock: Clock, said: Callable[[str], None]) -> None:
        self._store = store
        self._clock = clock
        self._said = said

    async def until_done(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Call `attempt` until the store is there; anything but "away" is the caller's."""
        delay_s = FIRST_DELAY_S
        away_since_s: float | None = None
        while True:
            try:
                await attempt()
            except StoreUnavailableError as error:
                if away_since_s is None:
                    away_since_s = self._clock.monotonic_s()
                    log.warning("store is away", store=self._store, reason=str(error))
                    self._said(f"the store is away: {error}")
                await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
                delay_s = min(2 * delay_s, LONGEST_DELAY_S)
            else:
                if away_since_s is not None:
                    away_s = round(self._clock.monotonic_s() - away_since_s, 1)
                    log.info("store is back", store=self._store, away_s=away_s)
                    self._said("")
                return
