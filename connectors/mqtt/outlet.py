"""To MQTT: QoS 1, confirmed by the broker."""

import math
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from connectors.mqtt.connection import Confirmation, MqttConnection
from connectors.mqtt.settings import MqttSettings
from connectors.ports import BrokerAwayError, Outgoing, Receipt

_NO_SUBSCRIBERS = 0x10
_FAILURE = 0x80
_LONGEST_EXPIRY_S = 2**32 - 1


class MqttOutlet:
    """An `Outlet` on one connection."""

    def __init__(self, settings: MqttSettings) -> None:
        self._connection = MqttConnection(settings, "out")

    async def __aenter__(self) -> Self:
        """Connect."""
        await self._connection.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        await self._connection.__aexit__(kind, error, trace)

    @property
    def window(self) -> int:
        """Messages that the broker lets us leave unconfirmed."""
        return self._connection.most_unconfirmed

    async def publish(self, messages: Sequence[Outgoing]) -> list[Receipt]:
        """Publish in order and wait for every PUBACK."""
        receipts: list[Receipt] = []
        for start in range(0, len(messages), self.window):
            expected = [self._publish(message) for message in messages[start : start + self.window]]
            answers = iter(
                await self._connection.answers([one for one in expected if one is not None], "confirm a message")
            )
            receipts += [Receipt.REFUSED if one is None else _receipt(next(answers)[0].value) for one in expected]
        return receipts

    def _publish(self, message: Outgoing) -> Confirmation | None:
        """Hand one message over; None when MQTT can't express it."""
        # The broker too drops a command whose time is over, for a device that is offline (MQTT 5, full seconds).
        left_s = message.expires_in_s
        expires_in_s = None if left_s is None else min(max(1, math.floor(left_s)), _LONGEST_EXPIRY_S)
        try:
            return self._connection.publish(message.address, message.payload, expires_in_s, message.traceparent)
        except ValueError:
            return None

    async def watch(self) -> None:
        """Wait until the connection is gone."""
        raise BrokerAwayError(await self._connection.gone())


def _receipt(code: int) -> Receipt:
    if code >= _FAILURE:
        return Receipt.REFUSED
    return Receipt.UNROUTABLE if code == _NO_SUBSCRIBERS else Receipt.TAKEN
