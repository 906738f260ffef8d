"""The watchdog of a type's worker: a thread that ends a process whose partitions stand still, to have it started anew.

A main loop that hangs keeps its partitions, because heartbeats come from another thread. The step that does not come to
an end has a watchdog of its own (`infra.supervisor.watchdog`); this one sees whatever else may stop a partition.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Self

import structlog

from infra.supervisor.lifeline import leave
from infra.supervisor.process import STUCK
from schemas.clock import Clock, SystemClock
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.stillness import ASSIGNMENT, Look, Stillness

log = structlog.get_logger(__name__)

_LOOKS = 6
"""In the time that a partition may stand still."""

_ASK_TIMEOUT_S = 5.0
"""Kafka that does not answer within this is away: nobody gets on then."""


class StuckWatchdog:
    """Looks at the partitions of one worker while entered.

    Args:
        kafka: Where the input is.
        topic: The input.
        look: Gives the partitions that are owned, and what is being assigned; called from the watchdog's thread.
        limit_s: So long one may stand still while its input grows.
        end: Ends the process.
        clock: Counts the time between looks.
    """

    def __init__(
        self,
        kafka: KafkaOptions,
        topic: str,
        look: Callable[[], Mapping[int, Look]],
        limit_s: float,
        end: Callable[[int], object] = leave,
        clock: Clock | None = None,
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self._look = look
        self._limit_s = limit_s
        self._end = end
        self._clock = clock or SystemClock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Look no more; a look under way ends by itself."""
        self._over.set()

    def _run(self) -> None:
        stillness, period_s = Stillness(self._limit_s), self._limit_s / _LOOKS
        looked_s = self._clock.monotonic_s()
        before: Mapping[int, Look] = {}
        while not self._over.wait(period_s):
            seen = self._look()
            # While everything gets on there is nothing to ask.
            asks = any(before.get(number) == look for number, look in seen.items())
            before, ends = seen, self._ends() if asks else {}
            now_s = self._clock.monotonic_s()
            passed_s, looked_s = min(now_s - looked_s, 2 * period_s), now_s
            if ends is None:
                continue
            stuck = stillness.look(seen, ends, passed_s)
            if stuck and not self._over.is_set():
                log.error(
                    "partitions stand still while records wait in them: this worker is started anew",
                    partitions="all, being assigned" if ASSIGNMENT in stuck else sorted(stuck),
                    seconds=round(max(stuck.values())),
                )
                self._end(STUCK)
                return

    def _ends(self) -> dict[int, int] | None:
        """Where the input's partitions end, None while Kafka is away."""

        async def ask() -> dict[tuple[str, int], int]:
            async with asyncio.timeout(_ASK_TIMEOUT_S), LogAdmin(self._kafka) as admin:
                return await admin.end_offsets([self._topic], stable=True)

        try:
            return {number: end for (_, number), end in asyncio.run(ask()).items()}
        except Exception as error:  # noqa: BLE001 - in whatever way it is away
            log.info("the watchdog can't see the input", error=repr(error))
            return None
