"""Topics that all types share."""

from aiokafka.errors import KafkaError

from infra.settings import Settings
from schemas.errors import SetupError
from streams.log.admin import SHARED_TOPICS, LogAdmin
from streams.log.retry import retrying


async def make_shared_topics(settings: Settings) -> None:
    """Make the shared topics that are missing; waits for a broker that is away.

    Raises:
        SetupError: they are there with another number of partitions, or the broker refuses us.
    """
    kafka = settings.kafka
    options = kafka.options()

    async def make() -> None:
        async with LogAdmin(options) as admin:
            await admin.ensure_topics(SHARED_TOPICS, kafka.partitions, kafka.replication, kafka.retention_ms)

    try:
        await retrying(make, "shared topics")
    except KafkaError as error:
        reason = str(error) or type(error).__name__
        message = f"Kafka at {options.bootstrap_servers} refuses: {reason}; check the section kafka"
        raise SetupError(message) from error
