"""Topics of others that this worker's outcomes go to."""

from streams.log.admin import LogAdmin
from streams.options import EngineOptions


class Targets:
    """Knows how many partitions topics have; makes those that are missing, so that nothing written there is lost."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._partitions: dict[str, int] = {}

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has; waits for a broker that is away.

        Raises:
            Exception: of any kind, when Kafka can't say.
        """
        found = self._partitions.get(topic)
        if found is None:
            options = self._options
            async with LogAdmin(options.kafka) as admin:
                found = await admin.partitions_of(topic)
                if found is None:
                    found = options.partitions
                    await admin.ensure_topics([topic], found, options.replication, options.retention_ms)
            self._partitions[topic] = found
        return found

    def forget(self) -> None:
        """Ask anew: a topic may have been made anew."""
        self._partitions.clear()
