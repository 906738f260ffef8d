"""Starting a producer so that a failed attempt leaves nothing behind."""

from aiokafka import AIOKafkaProducer

from streams.log.stopping import let_go

_STOP_TIMEOUT_S = 2.0


async def started(producer: AIOKafkaProducer) -> AIOKafkaProducer:
    """Connect a producer; one that can't is let go of before the error goes on."""
    try:
        await producer.start()
    except BaseException:
        await let_go(producer, _STOP_TIMEOUT_S)
        raise
    return producer
