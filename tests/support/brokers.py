"""Brokers under one contract: what a device and an operator see of each, apart from our own code."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aio_pika
from paho.mqtt import client as paho
from paho.mqtt import publish as paho_publish
from paho.mqtt.enums import CallbackAPIVersion

from connectors.amqp.connector import connector as amqp_connector
from connectors.amqp.settings import AmqpSettings
from connectors.connector import Connector
from connectors.memory.broker import MemoryBroker
from connectors.mqtt.connector import connector as mqtt_connector
from connectors.mqtt.settings import MqttSettings
from connectors.outbound import outbound_routes
from connectors.patterns import MQTT
from connectors.routes import Routes
from infra.embedded.mqtt import EmbeddedMqtt
from schemas.clock import Clock

Messages = list[tuple[str, bytes]]
TIMEOUT_S = 20.0


async def until(condition: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the condition is the test's own
            await asyncio.sleep(0.01)


class BrokerUnderTest(ABC):
    """One broker; addresses are given as in MQTT, whatever the protocol."""

    technology: str
    sessions_survive_restart = True
    tells_who_listens = True
    counts_in_flight = True

    @abstractmethod
    def connector(self, clock: Clock, in_flight: int = 1000) -> Connector:
        """Our side of it."""

    @abstractmethod
    async def publish(self, messages: Messages) -> None:
        """Publish as a device does, until the broker has them."""

    @abstractmethod
    def listen(self) -> "contextlib.AbstractAsyncContextManager[Messages]":
        """Everything on commands and events, as a device sees it, while inside."""

    @abstractmethod
    async def stop(self) -> None:
        """Take the broker away."""

    @abstractmethod
    async def start(self) -> None:
        """Bring it back with what it kept."""

    @abstractmethod
    async def close(self) -> None:
        """Leave nothing behind."""

    @abstractmethod
    def source(self, topic: str) -> str:
        """What a record from `topic` names as its source."""


class MemoryUnderTest(BrokerUnderTest):
    """`connectors.memory`."""

    technology = "memory"
    counts_in_flight = False

    def __init__(self, clock: Clock) -> None:
        self._broker = MemoryBroker(clock)

    def connector(self, clock: Clock, in_flight: int = 1000) -> Connector:
        del clock
        routes = Routes((), MQTT, default_routes=True)
        return Connector(
            name="memory",
            inlet=lambda: self._broker.inlet([text for _, text in routes.subscriptions()]),
            outlet=self._broker.outlet,
            inbound=routes,
            outbound=outbound_routes((), MQTT, default_routes=True),
            max_in_flight=in_flight,
        )

    async def publish(self, messages: Messages) -> None:
        for topic, payload in messages:
            self._broker.publish(topic, payload)

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[Messages]:
        seen: Messages = []
        self._broker.subscribe(lambda topic, payload: seen.append((topic, payload)) if _is_output(topic) else None)
        yield seen

    async def stop(self) -> None:
        self._broker.stop()

    async def start(self) -> None:
        self._broker.start()

    async def close(self) -> None:
        self._broker.stop()

    def source(self, topic: str) -> str:
        return f"memory:{topic}"


class MqttUnderTest(BrokerUnderTest):
    """A real MQTT broker that we start."""

    technology = "mqtt"

    def __init__(self, folder: Path, kind: str, protocol: str) -> None:
        self._folder = folder
        self._kind: Any = kind
        self.protocol: Any = protocol
        self.sessions_survive_restart = kind == "mosquitto"
        self.tells_who_listens = kind == "mosquitto" and protocol == "5"
        self.counts_in_flight = kind == "mosquitto" and protocol == "5"
        self._server: EmbeddedMqtt | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return self._server.protocols[self.protocol]

    def connector(self, clock: Clock, in_flight: int = 1000) -> Connector:
        return mqtt_connector(self.settings(receive_maximum=in_flight), clock)

    def settings(self, **keys: Any) -> MqttSettings:
        """Settings that reach it."""
        return MqttSettings.model_validate({"url": self.url, "protocol": self.protocol, **keys})

    async def publish(self, messages: Messages) -> None:
        packets: list[Any] = [{"topic": topic, "payload": payload, "qos": 1} for topic, payload in messages]
        endpoint = self.settings().endpoint()
        await asyncio.to_thread(
            paho_publish.multiple, packets, endpoint.host, endpoint.port, protocol=_version(self.protocol)
        )

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[Messages]:
        seen: Messages = []
        subscribed = asyncio.Event()
        loop = asyncio.get_running_loop()
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=_version(self.protocol))

        def on_connect(*_: object) -> None:
            client.subscribe([("twins/+/+/commands/+", 1), ("twins/+/+/events/+", 1)])

        def on_subscribe(*_: object) -> None:
            loop.call_soon_threadsafe(subscribed.set)

        def on_message(_c: object, _u: object, message: paho.MQTTMessage) -> None:
            seen.append((message.topic, bytes(message.payload)))

        client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
        endpoint = self.settings().endpoint()
        await asyncio.to_thread(client.connect, endpoint.host, endpoint.port)
        client.loop_start()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await subscribed.wait()
            yield seen
        finally:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.__aexit__(None, None, None)

    async def start(self) -> None:
        server = EmbeddedMqtt(self._folder, self._port, prefer=self._kind)
        await server.__aenter__()
        self._server = server
        self._port = server.port

    async def close(self) -> None:
        await self.stop()

    def source(self, topic: str) -> str:
        return f"mqtt:{topic}"


class AmqpUnderTest(BrokerUnderTest):
    """A RabbitMQ that others share: the queue is ours alone, and an outage stops the broker inside its node."""

    technology = "amqp"

    def __init__(self, url: str, name: str, queue_type: str, control: Callable[[str], Awaitable[str]]) -> None:
        self._url = url
        self._name = name
        self._queue_type = queue_type
        self._control = control

    def connector(self, clock: Clock, in_flight: int = 1000) -> Connector:
        return amqp_connector(self.settings(prefetch=in_flight), clock)

    def settings(self, **keys: Any) -> AmqpSettings:
        """Settings that reach it."""
        return AmqpSettings.model_validate(
            {"url": self._url, "queue": self._name, "queue_type": self._queue_type, **keys}
        )

    async def publish(self, messages: Messages) -> None:
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel()
            exchange = await channel.declare_exchange("twinstream", "topic", durable=True)
            persistent = aio_pika.DeliveryMode.PERSISTENT
            await asyncio.gather(
                *(
                    exchange.publish(aio_pika.Message(payload, delivery_mode=persistent), topic.replace("/", "."))
                    for topic, payload in messages
                )
            )

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[Messages]:
        seen: Messages = []
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel()
            exchange = await channel.declare_exchange("twinstream", "topic", durable=True)
            queue = await channel.declare_queue(exclusive=True)
            for words in ("commands", "events"):
                await queue.bind(exchange, f"twins.*.*.{words}.*")

            async def note(message: aio_pika.abc.AbstractIncomingMessage) -> None:
                seen.append(((message.routing_key or "").replace(".", "/"), message.body))

            await queue.consume(note, no_ack=True)
            yield seen

    async def stop(self) -> None:
        await self._control("stop_app")

    async def start(self) -> None:
        await self._control("start_app")

    async def close(self) -> None:
        async with await aio_pika.connect(self._url) as connection:
            await (await connection.channel()).queue_delete(self._name)

    def source(self, topic: str) -> str:
        return f"amqp:twinstream/{topic.replace('/', '.')}"


def _is_output(topic: str) -> bool:
    return "/commands/" in topic or "/events/" in topic


def _version(protocol: str) -> Any:
    return paho.MQTTv5 if protocol == "5" else paho.MQTTv311
