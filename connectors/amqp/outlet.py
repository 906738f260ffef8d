"""To AMQP: persistent messages, confirmed by the broker."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from connectors.amqp.connection import AmqpConnection
from connectors.amqp.settings import AmqpSettings
from connectors.ports import BrokerAwayError, Outgoing, Receipt


class AmqpOutlet:
    """An `Outlet` on one connection."""

    window = 100

    def __init__(self, settings: AmqpSettings) -> None:
        self._connection = AmqpConnection(settings, "out")

    async def __aenter__(self) -> Self:
        """Connect."""
        await self._connection.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        await self._connection.__aexit__(kind, error, trace)

    async def publish(self, messages: Sequence[Outgoing]) -> list[Receipt]:
        """Publish in order and wait for every confirmation."""
        return await self._connection.publish(messages)

    async def watch(self) -> None:
        """Wait until the connection is gone."""
        raise BrokerAwayError(await self._connection.gone())
