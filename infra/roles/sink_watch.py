"""Watches how far a sink is behind its log while its store is away: the log keeps no record for ever."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn

import structlog
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry, Counter, Gauge

from schemas.clock import Clock
from streams.log.group import Bounds

log = structlog.get_logger(__name__)

LOOK_S = 10.0
_S_PER_MS = 1e-3
_NS_PER_MS = 1_000_000


class SinkWatch:
    """Lag, age of the oldest record that waits, and what retention deleted before the store had it.

    Args:
        registry: Where the figures go.
        store: Their label `store`.
        bounds: Asks the broker about the partitions that are read.
        pass_over: Commits where the sink is, so that it has a past from its first look on, and what was deleted is
            counted once, whenever it starts again.
        oldest_ms: When the oldest record that was read and is not stored was written, None for none.
        retention_ms: Of the log, at most 0 for ever.
        clock: Says how old that is.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        store: str,
        *,
        bounds: Callable[[], Awaitable[Mapping[tuple[str, int], Bounds]]],
        pass_over: Callable[[Mapping[tuple[str, int], int]], Awaitable[None]],
        oldest_ms: Callable[[], int | None],
        retention_ms: int,
        clock: Clock,
    ) -> None:
        self._bounds, self._pass_over = bounds, pass_over
        self._oldest_ms = oldest_ms
        self._retention_ms = retention_ms
        self._clock = clock
        self._store = store
        self._counted: dict[tuple[str, int], int] = {}
        self._near = False
        self.lag = 0
        """Records that are in the log and not in the store, as of the last look."""
        text = "Records that retention deleted before they were in the store."
        self._lost = Counter("twinstream_sink_lost_records", text, ["store"], registry=registry).labels(store)
        age = Gauge(
            "twinstream_sink_oldest_waiting_seconds",
            "Age of the oldest record that waits for the store.",
            ["store"],
            registry=registry,
        )
        age.labels(store).set_function(self.age_s)

    def age_s(self) -> float:
        """How long the oldest record has waited, 0.0 when none does."""
        oldest_ms = self._oldest_ms()
        return 0.0 if oldest_ms is None else max(0.0, (self._clock.now_ns() // _NS_PER_MS - oldest_ms) * _S_PER_MS)

    async def run(self) -> NoReturn:
        """Look from time to time; a Kafka that is away is the sink's own matter."""
        while True:
            try:
                await self._pass_over(self.look(await self._bounds()))
            except (KafkaError, OSError, TimeoutError):
                log.debug("kafka does not tell how far the sink is behind", store=self._store)
            await asyncio.sleep(LOOK_S)

    def look(self, bounds: Mapping[tuple[str, int], Bounds]) -> dict[tuple[str, int], int]:
        """Judge what the broker has; return where the group is to be from now on, of partitions where it is not."""
        lost, passed = 0, {}
        self.lag = 0
        for partition, one in bounds.items():
            # A group without a past has lost nothing: it begins where the log does.
            done = one.first if one.done is None else one.done
            known = max(self._counted.get(partition, done), done)
            lost += max(0, one.first - known)
            self._counted[partition] = max(known, one.first)
            self.lag += one.end - max(done, one.first)
            if one.done is None or one.done < one.first:
                passed[partition] = one.first
        if lost:
            self._lost.inc(lost)
            log.error("retention deleted records that the store does not have", store=self._store, records=lost)
        near = 0 < self._retention_ms * _S_PER_MS < 2 * self.age_s()
        if near and not self._near:
            log.error(
                "the store is away, and the log keeps what waits for it not for much longer",
                store=self._store,
                waited_s=round(self.age_s()),
                retention_s=round(self._retention_ms * _S_PER_MS),
            )
        self._near = near
        return passed
