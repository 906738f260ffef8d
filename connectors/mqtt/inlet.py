"""From MQTT: QoS 1, a session that the broker keeps, PUBACKs in order of arrival."""

from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

from connectors.mqtt.arrivals import Arrivals
from connectors.mqtt.connection import MqttConnection
from connectors.mqtt.settings import MqttSettings
from connectors.ports import BrokerAwayError, Delivery
from schemas.clock import Clock

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

log = structlog.get_logger(__name__)


class KnownSession:
    """Whether this process had a session at the broker before; shared by all inlets of a connector."""

    had = False


class MqttInlet:
    """An `Inlet` on one connection.

    With MQTT 5 the broker stops at `receive_maximum` messages that are not acknowledged; with 3.1.1 at its own
    limit. Beyond that, and for QoS 0, the full queue makes paho's thread wait and TCP holds the broker back.
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
        self._unacknowledged: deque[tuple[int, int]] = deque()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect and subscribe."""
        self._arrivals: Arrivals[tuple[Delivery, int]] = Arrivals()
        self._connection = MqttConnection(self._settings, "in", self._arrive)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._connection)
            self._connection.when_gone(self._arrivals.wake)
            # Called before the connection is closed: a thread that waits for room could not say good-bye.
            stack.callback(self._arrivals.close)
            await self._connection.subscribe(self._filters)
            # Not before: what came between would be kept for nobody.
            self._connection.unsubscribe([text for text in self._left_behind if text not in self._filters])
            # Not before: what the broker kept for us comes first, and behind it waits its answer.
            self._arrivals.limit(self._settings.receive_maximum)
            self._stack = stack.pop_all()
        if self._session.had and not self._connection.session_present:
            log.warning("the broker has forgotten our session: what came while we were away is lost")
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
        arrived = await self._arrivals.take()
        if self._connection.is_gone:
            self._arrivals.wake()
            raise BrokerAwayError(await self._connection.gone())
        self._unacknowledged.extend((delivery.tag, packet_id) for delivery, packet_id in arrived)
        return [delivery for delivery, _ in arrived]

    async def acknowledge(self, delivery: Delivery) -> None:
        """Send the PUBACKs of it and of all before it, in order of arrival."""
        while self._unacknowledged and self._unacknowledged[0][0] <= delivery.tag:
            _, packet_id = self._unacknowledged.popleft()
            if packet_id and not self._connection.is_gone:
                self._connection.acknowledge(packet_id)

    def _arrive(self, message: "MQTTMessage") -> None:
        """In paho's thread."""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "\ufffd"  # no broker should let this through; no route matches it
        self._number += 1
        payload = bytes(message.payload)
        delivery = Delivery(topic, "", f"mqtt:{topic}", payload, self._clock.now_ns(), self._number)
        self._arrivals.put((delivery, message.mid if message.qos else 0))
