"""One connection and channel to an AMQP broker; the only module that imports aio-pika.

A connection is used once. aio-pika's robust connection is not used: it tries again at a fixed interval, writes a log
line each time, and brings channels back under consumers whose delivery tags have died.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

import aio_pika
import aiormq
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from aiormq.abc import DeliveredMessage

from connectors.amqp.settings import DEFAULT_EXCHANGE, AmqpSettings
from connectors.amqp.tolerance import tolerate_foreign_fields
from connectors.ports import BrokerAwayError, BrokerSilentError, Outgoing, Receipt
from schemas.headers import TRACEPARENT

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 2.0
_ADDRESS_MAX_BYTES = 255
"""Of a routing key; the client finds out only after it has counted the message."""
_LONGEST_EXPIRATION_S = (2**32 - 1) / 1000
"""Of RabbitMQ, which closes the channel at a longer one."""

_DELIVERY_LIMIT = 2**31 - 1
"""Of a quorum queue, which counts every delivery and drops what reaches its limit: 20 in RabbitMQ from 4.0 on, for
which ten hours without Kafka are enough. Poison is none of its business: ours becomes dead letters."""

OnMessage = Callable[[AbstractIncomingMessage], None]


class AmqpConnection:
    """A connection with one channel that confirms; `async with` connects and declares every exchange."""

    def __init__(self, settings: AmqpSettings, direction: str) -> None:
        tolerate_foreign_fields()
        self._settings = settings
        self._endpoint = settings.endpoint()
        self._direction = direction
        self._exchanges: dict[str, AbstractExchange] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect, and declare the exchanges, so that they are there before anybody publishes.

        Raises:
            BrokerAwayError: the broker can't be reached, refuses us, or has an exchange of another kind.
        """
        self._gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            connection = await self._try(self._connect())
            stack.push_async_callback(self._close, connection)
            connection.close_callbacks.add(self._lost)
            self._channel = await self._try(connection.channel(publisher_confirms=True, on_return_raises=False))
            self._channel.close_callbacks.add(self._lost)
            self._underlay = await self._try(self._channel.get_underlay_channel())
            self._underlay.on_consumer_cancel_callbacks.add(self._cancelled)
            for name, exchange in self._settings.declared().items():
                self._exchanges[name] = await self._try(
                    self._channel.declare_exchange(
                        name,
                        exchange.type,
                        durable=exchange.durable,
                        auto_delete=exchange.auto_delete,
                        passive=exchange.passive,
                    )
                )
            self._exchanges[DEFAULT_EXCHANGE] = self._channel.default_exchange
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        await self._stack.aclose()

    @property
    def is_gone(self) -> bool:
        """Whether the connection or its channel is closed."""
        return self._gone.done()

    async def gone(self) -> str:
        """Wait until the connection or its channel is closed; return why."""
        return await asyncio.shield(self._gone)

    def when_gone(self, callback: Callable[[], None]) -> None:
        """Call `callback` as soon as the connection or its channel is closed."""
        self._gone.add_done_callback(lambda _: callback())

    async def consume(
        self,
        bindings: Iterable[tuple[str, str]],
        on_message: OnMessage,
        left_behind: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Declare our queue, bind it and receive; deliveries that are not acknowledged are at most `prefetch`.

        Bindings that are `left_behind` by earlier settings end.
        """
        settings = self._settings
        # A second bridge waits as a stand-by: two that take turns would mix up the order of a twin's records.
        arguments: dict[str, Any] = {"x-queue-type": settings.queue_type, "x-single-active-consumer": True}
        if settings.queue_type == "quorum":
            arguments["x-delivery-limit"] = _DELIVERY_LIMIT
        queue = await self._try(self._channel.declare_queue(settings.queue, durable=True, arguments=arguments))
        for exchange, key in bindings:
            await self._try(queue.bind(self._exchanges[exchange], key))
        for exchange, key in left_behind:  # not before: what came between would go to no queue
            await self._try(queue.unbind(self._exchanges[exchange], key))
        await self._try(self._channel.set_qos(prefetch_count=settings.prefetch))

        async def deliver(message: AbstractIncomingMessage) -> None:
            on_message(message)

        await self._try(queue.consume(deliver))

    async def acknowledge(self, delivery_tag: int) -> None:
        """Acknowledge a delivery and all before it on this channel."""
        if not self.is_gone:
            await self._try(self._underlay.basic_ack(delivery_tag, multiple=True))

    async def publish(self, messages: Sequence[Outgoing]) -> list[Receipt]:
        """Publish in order, and wait until the broker has confirmed each."""
        publishing = [asyncio.ensure_future(self._try(self._publish(message))) for message in messages]
        try:
            return list(await asyncio.gather(*publishing))
        finally:
            for task in publishing:
                task.cancel()
            await asyncio.gather(*publishing, return_exceptions=True)

    async def _publish(self, outgoing: Outgoing) -> Receipt:
        if len(outgoing.address.encode()) > _ADDRESS_MAX_BYTES:
            return Receipt.REFUSED
        expires_in_s = outgoing.expires_in_s
        message = aio_pika.Message(
            outgoing.payload,
            headers={TRACEPARENT: outgoing.traceparent.decode()} if outgoing.traceparent else None,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            # The broker too drops a command whose time is over.
            expiration=None if expires_in_s is None else min(expires_in_s, _LONGEST_EXPIRATION_S),
        )
        exchange = self._exchanges[outgoing.exchange]
        try:
            answer = await exchange.publish(message, outgoing.address, timeout=ANSWER_TIMEOUT_S)
        except aio_pika.exceptions.DeliveryError:
            return Receipt.REFUSED
        return Receipt.UNROUTABLE if isinstance(answer, DeliveredMessage) else Receipt.TAKEN

    async def _connect(self) -> aio_pika.abc.AbstractConnection:
        endpoint = self._endpoint
        return await aio_pika.connect(
            host=endpoint.host,
            port=endpoint.port,
            login=endpoint.username or "guest",
            password=endpoint.password or "guest",
            virtualhost=endpoint.path or "/",
            ssl=endpoint.tls,
            ssl_context=self._settings.ssl_context() if endpoint.tls else None,
            timeout=CONNECT_TIMEOUT_S,
            client_properties={"connection_name": f"twinstream-{self._direction}"},
            heartbeat=str(self._settings.heartbeat_s),
        )

    async def _close(self, connection: aio_pika.abc.AbstractConnection) -> None:
        self._lost()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await connection.close()
        except (aiormq.exceptions.AMQPException, OSError, TimeoutError):
            # It is broken or the broker does not answer: the connection is given up either way.
            return

    async def _try(self, attempt: Awaitable[T]) -> T:
        """Await `attempt`; what the broker or the network refuses becomes `BrokerAwayError`."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await attempt
        except (aiormq.exceptions.AMQPException, aio_pika.exceptions.AMQPException, OSError, RuntimeError) as error:
            if isinstance(error, TimeoutError) and not self._gone.done():
                raise BrokerSilentError(f"{self._endpoint}: no answer within {ANSWER_TIMEOUT_S:g} s") from error
            why = self._gone.result() if self._gone.done() else str(error) or type(error).__name__
            raise BrokerAwayError(f"{self._endpoint}: {why}") from error

    def _lost(self, _sender: object = None, error: BaseException | None = None) -> None:
        if not self._gone.done():
            self._gone.set_result(str(error) if error else "the connection was closed")

    def _cancelled(self, _frame: object) -> None:
        """The broker ended the consumer, most often because somebody deleted the queue."""
        self._lost(None, RuntimeError("the broker ended our consumer: was the queue deleted?"))
