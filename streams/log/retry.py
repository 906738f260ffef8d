"""Waiting for a broker that is away or only just starting."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaConnectionError, KafkaError

T = TypeVar("T")
log = structlog.get_logger(__name__)

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 2.0
COORDINATION_S = 5.0
"""So long a fresh cluster may take to make the topic of its groups' offsets, which is no outage."""


def is_retriable(error: BaseException) -> bool:
    """Whether trying again may help; a port that only just opened answers "coordinator not available"."""
    if isinstance(error, KafkaConnectionError | OSError | asyncio.TimeoutError):
        return True
    # aiokafka raises the bare base class when no broker answers a request for metadata.
    if type(error) is KafkaError:
        return True
    return isinstance(error, KafkaError) and bool(error.retriable)


async def retrying(attempt: Callable[[], Awaitable[T]], what: str, *, give_up_after_s: float | None = None) -> T:
    """Call `attempt` until it succeeds, with back-off and jitter.

    Args:
        attempt: What to try; it cleans up after itself when it fails.
        what: For the one log line when waiting begins and the one when it ends.
        give_up_after_s: Raise the last error after this long; None waits for ever.
    """
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    delay_s = FIRST_DELAY_S
    waiting = False
    while True:
        try:
            result = await attempt()
        except Exception as error:
            elapsed_s = loop.time() - started_s
            if not is_retriable(error) or (give_up_after_s is not None and elapsed_s > give_up_after_s):
                raise
            starting = isinstance(error, GroupCoordinatorNotAvailableError) and elapsed_s < COORDINATION_S
            if not waiting and not starting:
                log.warning("kafka is away, waiting", what=what, error=str(error) or type(error).__name__)
                waiting = True
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)
        else:
            if waiting:
                log.info("kafka is back", what=what)
            return result
