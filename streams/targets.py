"""Topics of others that this worker's outcomes go to."""

from schemas.clock import Clock, SystemClock
from streams.log.admin import LogAdmin
from streams.options import EngineOptions

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

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has; waits for a broker that is away.

        Raises:
            Exception: of any kind, when Kafka can't say.
        """
        found, until_s = self._partitions.get(topic, (0, 0.0))
        if not found or self._clock.monotonic_s() >= until_s:
            found = await self._asked(topic)
            self._partitions[topic] = found, self._clock.monotonic_s() + BELIEVED_S
        return found

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
