"""Starting a producer so that a failed attempt leaves nothing behind."""

from aiokafka import AIOKafkaProducer


async def started(producer: AIOKafkaProducer) -> AIOKafkaProducer:
    """Connect a producer; one that can't is let go of before the error goes on."""
    try:
        await producer.start()
    except BaseException:
        await producer.stop()
        raise
    return producer
