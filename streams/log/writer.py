"""Writing single records durably."""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import structlog
from aiokafka import AIOKafkaProducer

from schemas.topics import DEADLETTER_MAX_BYTES
from streams.log.client import KafkaOptions
from streams.log.retry import retrying
from streams.log.starting import started
from streams.log.stopping import let_go

log = structlog.get_logger(__name__)

_STOP_TIMEOUT_S = 5.0


class LogWriter:
    """An idempotent producer with acks=all; keys go to the partition that Java clients choose."""

    def __init__(self, options: KafkaOptions, *, linger_ms: int = 0) -> None:
        self._options = options
        self._linger_ms = linger_ms
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        """Connect, waiting for the broker."""

        async def connect() -> AIOKafkaProducer:
            producer = AIOKafkaProducer(
                enable_idempotence=True,
                linger_ms=self._linger_ms,
                max_request_size=DEADLETTER_MAX_BYTES,
                max_batch_size=128 * 1024,
                metadata_max_age_ms=5000,
                **self._options.client_kwargs(),
            )
            return await started(producer)

        self._producer = await retrying(connect, "writing")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is buffered and disconnect; what a broker that is away does not take stays unconfirmed."""
        if self._producer is not None and (failure := await let_go(self._producer, _STOP_TIMEOUT_S)):
            log.warning("kafka is away, what is not yet confirmed is dropped", error=repr(failure))

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Iterable[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> asyncio.Future[tuple[int, int]]:
        """Queue one record; awaiting this call is the back-pressure.

        Returns:
            A future of (partition, offset), done when the record is durable. It fails when the record can't be
            written; then its place in the order is lost, and the caller decides whether to send it again.
        """
        if self._producer is None:
            message = "use LogWriter in `async with`"
            raise RuntimeError(message)
        sent = await self._producer.send(topic, value, key, partition, headers=list(headers))
        loop = asyncio.get_running_loop()
        durable: asyncio.Future[tuple[int, int]] = loop.create_future()

        def settle(done: asyncio.Future[object]) -> None:
            if durable.done():
                return
            if done.cancelled():
                durable.cancel()
            elif error := done.exception():
                durable.set_exception(error)
            else:
                metadata = done.result()
                durable.set_result((metadata.partition, metadata.offset))  # type: ignore[attr-defined]

        sent.add_done_callback(settle)
        return durable
