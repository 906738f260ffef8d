"""From AMQP: a durable queue, prefetch, acknowledged in order."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

from connectors.amqp.connection import AmqpConnection
from connectors.amqp.settings import AmqpSettings
from connectors.ports import BrokerAwayError, Delivery
from schemas.clock import Clock
from schemas.headers import TRACEPARENT
from schemas.trace import traceparent_of

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage

log = structlog.get_logger(__name__)

_DELIVERIES = 10
"""So often a message may come before it is told: a policy may limit it to 20, say, against our own argument."""


class AmqpInlet:
    """An `Inlet` on one connection; the broker stops at `prefetch` deliveries that are not acknowledged."""

    def __init__(
        self,
        settings: AmqpSettings,
        bindings: Sequence[tuple[str, str]],
        clock: Clock,
        left_behind: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._settings = settings
        self._left_behind = left_behind
        self._bindings = bindings
        self._clock = clock
        self._arrived: list[Delivery] = []
        self._told = False
        self._some = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect, declare, bind and consume."""
        self._connection = AmqpConnection(self._settings, "in")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._connection)
            self._connection.when_gone(self._some.set)
            await self._connection.consume(self._bindings, self._arrive, self._left_behind)
            self._stack = stack.pop_all()
        log.info("consuming", queue=self._settings.queue, bindings=[f"{name}/{key}" for name, key in self._bindings])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; the broker puts what was not acknowledged back in its place."""
        await self._stack.aclose()

    async def receive(self) -> list[Delivery]:
        """All that has arrived."""
        await self._some.wait()
        if self._connection.is_gone:
            raise BrokerAwayError(await self._connection.gone())
        arrived, self._arrived = self._arrived, []
        self._some.clear()
        return arrived

    async def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge it and all before it."""
        await self._connection.acknowledge(delivery.tag)

    def _arrive(self, message: "AbstractIncomingMessage") -> None:
        exchange, key = message.exchange or "", message.routing_key or ""
        source = f"amqp:{exchange}/{key}"
        tag = message.delivery_tag or 0
        deliveries = message.headers.get("x-delivery-count")  # of quorum queues
        if isinstance(deliveries, int) and deliveries >= _DELIVERIES and not self._told:
            self._told = True
            log.warning(
                "messages come again and again: see that no policy gives the queue a delivery-limit",
                queue=self._settings.queue,
                deliveries=deliveries,
            )
        encoding = message.content_encoding or ""
        parent = traceparent_of(message.headers.get(TRACEPARENT))
        now_ns = self._clock.now_ns()
        self._arrived.append(Delivery(key, exchange, source, message.body, now_ns, tag, encoding, parent))
        self._some.set()
