"""To MQTT: QoS 1, confirmed by the broker."""

import math
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from connectors.mqtt.connection import MqttConnection
from connectors.mqtt.settings import MqttSettings
from connectors.ports import BrokerAwayError, Outgoing, Receipt

_NO_SUBSCRIBERS = 0x10
_FAILURE = 0x80
_REFUSED = frozenset({0x87, 0x90, 0x99})
"""Not authorised, topic name invalid, payload format invalid: trying again can't help."""


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

    async def publish(self, messages: Sequence[Outgoing]) -> list[Receipt]:
        """Publish in order and wait for every PUBACK."""
        receipts: list[Receipt] = []
        most = self._connection.most_unconfirmed
        for start in range(0, len(messages), most):
            expected = []
            for message in messages[start : start + most]:
                # The broker too drops a command whose time is over, for a device that is offline (MQTT 5).
                expires_in_s = None if message.expires_in_s is None else max(1, math.ceil(message.expires_in_s))
                expected.append(self._connection.publish(message.address, message.payload, expires_in_s))
            answers = await self._connection.answers(expected, "confirm a message")
            receipts += [_receipt(codes[0].value) for codes in answers]
        return receipts

    async def watch(self) -> None:
        """Wait until the connection is gone."""
        raise BrokerAwayError(await self._connection.gone())


def _receipt(code: int) -> Receipt:
    if code in _REFUSED:
        return Receipt.REFUSED
    if code >= _FAILURE:
        message = f"the broker answered with reason code {code:#x}"
        raise BrokerAwayError(message)
    return Receipt.UNROUTABLE if code == _NO_SUBSCRIBERS else Receipt.TAKEN
