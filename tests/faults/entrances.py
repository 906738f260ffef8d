"""Brokers that devices publish to, each with its bridge's settings: one way in, whatever the protocol."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import aio_pika
from faults.breakable import Breakable
from faults.mqtt_publisher import MqttPublisher
from servers.rabbitmq import RabbitMq

from infra.bench.servers.rabbitmq import find_rabbitmq
from infra.embedded.mqtt import EmbeddedMqtt
from schemas.errors import SetupError

Messages = Sequence[tuple[str, bytes]]
"""Twin and payload."""


class Entrance(ABC):
    """A broker with devices in front of it, while entered.

    Attributes:
        broker: As `bridge` names it.
        in_flight: Most messages that its bridge holds unacknowledged.
    """

    broker: str
    in_flight = 1000

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @abstractmethod
    def environment(self, port: int = 0) -> dict[str, str]:
        """Settings of its bridge; a port takes the place of the broker's own."""

    @property
    @abstractmethod
    def port(self) -> int:
        """Where the broker listens."""

    @abstractmethod
    async def publish(self, messages: Messages) -> None:
        """Hand telemetry of the type `tally` over."""

    @abstractmethod
    async def confirmed(self) -> None:
        """Wait until the broker has said that it has everything."""


class MqttEntrance(Entrance):
    """Mosquitto."""

    broker = "mqtt"

    def __init__(self, folder: Path) -> None:
        self.server = Breakable(lambda port: EmbeddedMqtt(folder, port, prefer="mosquitto"))

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        self._devices = MqttPublisher(self.port)
        await self._devices.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._devices.close()
        await self.server.__aexit__(kind, error, trace)

    @property
    def port(self) -> int:
        return self.server.now.port

    def environment(self, port: int = 0) -> dict[str, str]:
        return {"TWINSTREAM_MQTT__URL": f"mqtt://127.0.0.1:{port or self.port}"}

    async def publish(self, messages: Messages) -> None:
        for twin, payload in messages:
            await self._devices.publish(f"twins/tally/{twin}/telemetry", payload)

    async def confirmed(self) -> None:
        await self._devices.confirmed()


class AmqpEntrance(Entrance):
    """RabbitMQ with a queue of the bridge that is classic or a quorum queue."""

    broker = "amqp"

    def __init__(self, folder: Path, queue_type: Literal["classic", "quorum"]) -> None:
        self._queue_type = queue_type
        self.server = Breakable(lambda port: RabbitMq(folder, port))

    async def __aenter__(self) -> Self:
        if find_rabbitmq() is None:
            raise SetupError("RabbitMQ is not installed: run scripts/servers")
        await self.server.__aenter__()
        self._connection = await aio_pika.connect(self.server.now.url)
        channel = await self._connection.channel()
        self._exchange = await channel.declare_exchange("twinstream", "topic", durable=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()
        await self.server.__aexit__(kind, error, trace)

    @property
    def port(self) -> int:
        return self.server.now.port

    def environment(self, port: int = 0) -> dict[str, str]:
        url = f"amqp://guest:guest@127.0.0.1:{port or self.port}/"
        return {"TWINSTREAM_AMQP__URL": url, "TWINSTREAM_AMQP__QUEUE_TYPE": self._queue_type}

    async def publish(self, messages: Messages) -> None:
        persistent = aio_pika.DeliveryMode.PERSISTENT
        sent = [
            self._exchange.publish(aio_pika.Message(payload, delivery_mode=persistent), f"twins.tally.{twin}.telemetry")
            for twin, payload in messages
        ]
        await asyncio.gather(*sent)

    async def confirmed(self) -> None:
        """Every publish is confirmed when it returns."""
