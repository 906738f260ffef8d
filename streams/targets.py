"""Topics of others that this worker's outcomes go to."""

import asyncio
from functools import partial

import structlog

from schemas.clock import Clock, SystemClock
from streams.log.admin import LogAdmin
from streams.options import EngineOptions

log = structlog.get_logger(__name__)

BELIEVED_S = 30.0
"""Writing into a topic that was deleted and made anew need not fail, but its keys may belong elsewhere."""


class Targets:
    """Knows how many partitions topics have; makes those that are missing, so that nothing written there is lost.

    Args:
        options: Where Kafka is, and how its topics are made.
        clock: Tells how old what is known is.
    """

    def __init__(self, options: EngineOptions, clock: Clock | None = None) -> None:
        self._options = options
        self._clock = clock or SystemClock()
        self._partitions: dict[str, tuple[int, float]] = {}
        """Number of partitions, and until when it is believed."""
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has; what is known for long is asked again beside whoever writes now.

        Raises:
            Exception: of any kind, when nothing is known yet and Kafka can't say.
        """
        found, until_s = self._partitions.get(topic, (0, 0.0))
        if not found:
            found = await self._asked(topic)
            self._keep(topic, found)
        elif self._clock.monotonic_s() >= until_s and topic not in self._asking:
            task = self._asking[topic] = asyncio.create_task(self._ask_again(topic, found), name=f"ask-{topic}")
            task.add_done_callback(partial(self._ended, topic))
        return found

    def _keep(self, topic: str, found: int) -> None:
        self._partitions[topic] = found, self._clock.monotonic_s() + BELIEVED_S

    async def _ask_again(self, topic: str, known: int) -> None:
        try:
            async with asyncio.timeout(BELIEVED_S):
                found = await self._asked(topic)
        except Exception as error:  # noqa: BLE001 - Kafka is away, in whatever way; a flush would notice
            log.warning(
                "how many partitions a topic has can't be asked", topic=topic, believed=known, error=repr(error)
            )
            found = known
        self._keep(topic, found)

    def _ended(self, topic: str, task: asyncio.Task[None]) -> None:
        if self._asking.get(topic) is task:
            del self._asking[topic]

    async def _asked(self, topic: str) -> int:
        options = self._options
        async with LogAdmin(options.kafka) as admin:
            found = await admin.partitions_of(topic)
            if found is None:
                found = options.partitions
                await admin.ensure_topics([topic], found, options.replication, options.retention_ms)
        return found

    def forget(self) -> None:
        """Ask anew: a topic may have been made anew."""
        self._partitions.clear()
        for task in self._asking.values():
            task.cancel()
        self._asking.clear()
