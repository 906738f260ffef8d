"""Topics that tests take away from under those who read them."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient

from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions


async def make_anew(kafka: KafkaOptions, topic: str, partitions: int) -> None:
    """Delete a topic and create it again, empty and with another id."""
    admin = AIOKafkaAdminClient(**kafka.client_kwargs())
    await admin.start()
    try:
        await admin.delete_topics([topic])
    finally:
        await admin.close()
    async with LogAdmin(kafka) as log_admin:
        while topic in await log_admin.topics():  # noqa: ASYNC110 - Kafka has no event for it
            await asyncio.sleep(0.1)
        await log_admin.ensure_topics([topic], partitions=partitions)
