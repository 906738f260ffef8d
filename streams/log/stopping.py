"""Stopping a producer so that nothing of it stays behind, whatever the broker does."""

import asyncio

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed

log = structlog.get_logger(__name__)

_TEAR_DOWN_TIMEOUT_S = 2.0


async def let_go(producer: AIOKafkaProducer, timeout_s: float) -> Exception | None:
    """Write what is buffered and disconnect; what is not written in time, or when this is cancelled, is dropped.

    Returns:
        Why not all was written; None when it was.
    """
    stopped = False
    try:
        async with asyncio.timeout(timeout_s):
            await producer.stop()
            stopped = True
    except Exception as error:  # noqa: BLE001 - a producer that is being thrown away
        return error
    finally:
        if not stopped:  # also when this was cancelled: aiokafka takes no second `stop`
            await _tear_down(producer)
    return None


async def _tear_down(producer: AIOKafkaProducer) -> None:
    """End what `stop` left behind when it was cut short: the sender, those who wait for it, the connections."""
    producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001 - there is no public way
    sender = producer._sender  # noqa: SLF001
    if sender is not None and sender.sender_task is not None:
        sender.sender_task.cancel()
    try:
        async with asyncio.timeout(_TEAR_DOWN_TIMEOUT_S):
            await producer.client.close()
    except Exception as error:  # noqa: BLE001 - likewise
        log.warning("connections did not close", error=repr(error))
