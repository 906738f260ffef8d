"""From MQTT: QoS 1, a session that the broker keeps, PUBACKs in order of arrival."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

from connectors.mqtt.connection import MqttConnection, traceparent_in
from connectors.mqtt.settings import MqttSettings
from connectors.ports import IN_FLIGHT_BYTES, BrokerAwayError, Delivery
from schemas.clock import Clock

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

log = structlog.get_logger(__name__)

_DURABLE_S = 0.01
"""From a message's arrival until Kafka has it and it can be acknowledged, about."""
_RATE = 5000.0
"""Messages per second that a bridge is to be able to take in where nothing else is said."""


class KnownSession:
    """Whether this process had a session at the broker before; shared by all inlets of a connector."""

    had = False


class MqttInlet:
    """An `Inlet` on one connection.

    With MQTT 5 the broker stops at `receive_maximum` messages that are not acknowledged; with 3.1.1 at its own
    limit. Beyond that, and for QoS 0, nothing more is read, and TCP holds the broker back.
    """

    def __init__(
        self,
        settings: MqttSettings,
        filters: Sequence[str],
        clock: Clock,
        left_behind: Sequence[str] = (),
        session: KnownSession | None = None,
    ) -> None:
        self._session = session or KnownSession()
        self._settings = settings
        self._left_behind = left_behind
        self._filters = filters
        self._clock = clock
        self._number = 0
        self._arrived: list[Delivery] = []
        self._bytes = 0
        self._some = asyncio.Event()
        self._most: int | None = None
        self._unacknowledged: deque[tuple[int, int]] = deque()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect and subscribe."""
        self._connection = MqttConnection(self._settings, "in", self._arrive)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._connection)
            self._connection.when_gone(self._some.set)
            await self._connection.subscribe(self._filters)
            # Not before: what came between would be kept for nobody.
            self._connection.unsubscribe([text for text in self._left_behind if text not in self._filters])
            # Not before: what the broker kept for us comes first, and behind it waits its answer.
            self._most = self._settings.receive_maximum
            self._stack = stack.pop_all()
        if self._session.had and not self._connection.session_present:
            log.warning("the broker has forgotten our session: what came while we were away is lost")
        elif not self._session.had:
            self._look_at_limit()
        self._session.had = True
        kept_s = self._connection.session_expiry_s
        if kept_s is not None and kept_s < self._settings.session_expiry_s:
            log.warning(
                "the broker keeps what comes for a bridge that is away for less long than asked",
                session_expiry_s=self._settings.session_expiry_s,
                kept_s=kept_s,
            )
        log.info("subscribed", filters=list(self._filters), session_present=self._connection.session_present)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; the broker keeps the session."""
        await self._stack.aclose()

    async def receive(self) -> list[Delivery]:
        """All that has arrived."""
        await self._some.wait()
        if self._connection.is_gone:
            raise BrokerAwayError(await self._connection.gone())
        self._some.clear()
        arrived, self._arrived, self._bytes = self._arrived, [], 0
        self._connection.resume()
        return arrived

    async def acknowledge(self, delivery: Delivery) -> None:
        """Send the PUBACKs of it and of all before it, in order of arrival."""
        packet_ids = []
        while self._unacknowledged and self._unacknowledged[0][0] <= delivery.tag:
            packet_ids.append(self._unacknowledged.popleft()[1])
        if packet_ids and not self._connection.is_gone:
            self._connection.acknowledge(packet_ids)

    def _look_at_limit(self) -> None:
        """Warn where the broker lets so few messages be in flight that they can't come as fast as is needed.

        It says how many it takes from us; Mosquitto has one limit for both directions, others may have two.
        """
        limit = self._connection.receive_maximum
        if limit is None or limit / _DURABLE_S >= (self._settings.expected_rate or _RATE):
            return
        log.warning(
            "the broker takes few messages at a time; if it sends no more, as Mosquitto, that limits the rate:"
            " raise its limit (there max_inflight_messages)",
            in_flight=limit,
            rate=round(limit / _DURABLE_S),
            expected_rate=self._settings.expected_rate,
        )

    def _arrive(self, message: "MQTTMessage") -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "\ufffd"  # no broker should let this through; no route matches it
        self._number += 1
        payload = bytes(message.payload)
        parent = traceparent_in(message)
        now_ns = self._clock.now_ns()
        self._arrived.append(Delivery(topic, "", f"mqtt:{topic}", payload, now_ns, self._number, traceparent=parent))
        self._bytes += len(payload)
        if message.qos:
            self._unacknowledged.append((self._number, message.mid))
        self._some.set()
        if self._most is not None and (len(self._arrived) >= self._most or self._bytes >= IN_FLIGHT_BYTES):
            self._connection.pause()
