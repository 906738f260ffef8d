"""One connection to an MQTT broker.

With `loop_client` the only module that imports paho. A connection is used once: paho never reconnects it, so that
packet ids and queued messages can't outlive it.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal, Self

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from connectors.mqtt.loop_client import LoopClient
from connectors.mqtt.settings import MqttSettings
from connectors.ports import BrokerAwayError, BrokerSilentError
from schemas.headers import TRACEPARENT
from schemas.topics import PACKET_MAX_BYTES
from schemas.trace import traceparent_of

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 2.0
_MOST_UNCONFIRMED = 100
_FAILURE = 0x80
_LARGEST_PACKET_BYTES = 268_435_455
_PACKET_OVERHEAD_BYTES = 16
"""Header, packet id and properties of a PUBLISH besides topic and payload, generously."""
_PROPERTY_OVERHEAD_BYTES = 8
"""Of a user property besides name and value, and of the greater lengths of what it is in."""

Confirmation = asyncio.Future[Sequence[ReasonCode]]
"""Done with the broker's reason codes."""
OnMessage = Callable[[paho.MQTTMessage], None]


class _HandshakeSocket(ssl.SSLSocket):
    """A socket that is closed when its handshake fails, which paho leaves to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of the base class
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class MqttConnection:
    """A connection; `async with` connects and raises `BrokerAwayError` when that fails.

    Args:
        direction: `in` keeps a session at the broker, `out` none; it ends the client id.
        on_message: Called for each message.
    """

    def __init__(
        self, settings: MqttSettings, direction: Literal["in", "out"], on_message: OnMessage | None = None
    ) -> None:
        self._settings = settings
        self._endpoint = settings.endpoint()
        self._keeps_session = direction == "in"
        self._client_id = f"{settings.client_id}-{direction}"
        self._on_message = on_message
        self._version5 = settings.protocol == "5"
        self._waiting: dict[int, Confirmation] = {}
        self.session_present = False
        self.session_expiry_s: int | None = None
        """How long the broker keeps our session, where it says that this is not what we asked for (MQTT 5)."""
        self._largest_packet_bytes = _LARGEST_PACKET_BYTES
        self.receive_maximum: int | None = None
        """Most messages that the broker says it lets be in flight (MQTT 5), None where it does not say."""
        self.most_unconfirmed = _MOST_UNCONFIRMED
        """Most published messages that the broker lets us leave unconfirmed."""

    async def __aenter__(self) -> Self:
        """Connect, and wait until the broker has accepted us."""
        self._loop = asyncio.get_running_loop()
        self._accepted: asyncio.Future[None] = self._loop.create_future()
        self._gone: asyncio.Future[str] = self._loop.create_future()
        try:
            self._client = self._make_client()
            await asyncio.to_thread(self._connect)
        except (OSError, ValueError) as error:
            raise BrokerAwayError(f"{self._endpoint}: {error}") from error
        self._client.attach(self._loop)
        try:
            await self._answer(self._accepted, CONNECT_TIMEOUT_S, "accept the connection")
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say good-bye."""
        await self._close()

    @property
    def is_gone(self) -> bool:
        """Whether the connection is broken."""
        return self._gone.done()

    async def gone(self) -> str:
        """Wait until the connection is broken; return why."""
        return await asyncio.shield(self._gone)

    def when_gone(self, callback: Callable[[], None]) -> None:
        """Call `callback` as soon as the connection is broken."""
        self._gone.add_done_callback(lambda _: callback())

    async def subscribe(self, filters: Sequence[str]) -> None:
        """Subscribe with QoS 1, and wait until the broker has accepted each filter.

        A broker that kept our session has the filters already: it is told them again, because the configuration may
        have changed, and its answer is looked at when it comes. iotcore, for one, holds it back while 100 messages of
        the session are not acknowledged.
        """
        if self._version5:
            # A retained message comes when a filter is new, not at every reconnect.
            handling = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
            result, mid = self._client.subscribe(
                [(text, SubscribeOptions(qos=1, retainHandling=handling)) for text in filters]
            )
        else:
            result, mid = self._client.subscribe([(text, 1) for text in filters])
        self._check(result)
        answer = self._expect(mid)
        if self.session_present:
            answer.add_done_callback(lambda codes: self._lost(_refusals(filters, codes.result())))
            return
        if refused := _refusals(filters, await self._answer(answer, ANSWER_TIMEOUT_S, "confirm the subscriptions")):
            raise BrokerAwayError(f"{self._endpoint}: {refused}")

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Let go of filters that a session which the broker kept may have; those that it has not are no error."""
        if filters and self.session_present:
            self._check(self._client.unsubscribe(list(filters))[0])

    def publish(self, topic: str, payload: bytes, expires_in_s: int | None, traceparent: bytes = b"") -> Confirmation:
        """Publish with QoS 1; the future is done when the broker has confirmed.

        Raises:
            ValueError: MQTT can't express it, or the broker said that it takes no packet of this size.
        """
        room_bytes = self._largest_packet_bytes - len(topic.encode()) - len(payload) - _PACKET_OVERHEAD_BYTES
        if room_bytes < 0:
            message = "larger than the largest packet that the broker takes"
            raise ValueError(message)
        properties = None
        if self._version5:
            # A message that fits without its trace leaves without it.
            fits = len(TRACEPARENT) + len(traceparent) + _PROPERTY_OVERHEAD_BYTES <= room_bytes
            properties = _properties(expires_in_s, traceparent if fits else b"")
        info = self._client.publish(topic, payload, qos=1, properties=properties)
        self._check(info.rc)
        return self._expect(info.mid)

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send the PUBACKs of messages, in this order."""
        self._client.acknowledge(packet_ids)

    def pause(self) -> None:
        """Read no more for now, so that TCP holds the broker back; pings are not answered meanwhile."""
        self._client.pause()

    def resume(self) -> None:
        """Read again."""
        self._client.resume()

    async def answers(self, expected: Sequence[Confirmation], what: str) -> list[Sequence[ReasonCode]]:
        """Wait for all of `expected`."""
        return [await self._answer(future, ANSWER_TIMEOUT_S, what) for future in expected]

    def _make_client(self) -> LoopClient:
        client = LoopClient(
            self._failed,
            callback_api_version=CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if self._version5 else not self._keeps_session,
            protocol=paho.MQTTv5 if self._version5 else paho.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.disable_logger()  # what matters is said by us, once
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages = 0  # the outlet counts, by what the broker allows
        if self._endpoint.username:
            client.username_pw_set(self._endpoint.username, self._endpoint.password or None)
        if self._endpoint.tls:
            context = self._settings.ssl_context()
            context.sslsocket_class = _HandshakeSocket
            client.tls_set_context(context)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_publish = self._published
        client.on_message = self._arrived
        return client

    def _connect(self) -> None:
        """Open the socket; in a thread, because paho blocks."""
        host, port, keepalive_s = self._endpoint.host, self._endpoint.port, self._settings.keepalive_s
        if not self._version5:
            self._client.connect(host, port, keepalive_s)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = self._settings.receive_maximum
        properties.MaximumPacketSize = PACKET_MAX_BYTES
        if self._keeps_session:
            properties.SessionExpiryInterval = self._settings.session_expiry_s
        self._client.connect(host, port, keepalive_s, clean_start=not self._keeps_session, properties=properties)

    async def _close(self) -> None:
        self._client.disconnect()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self.gone()
        self._client.cut()  # when the broker does not answer
        self._lost("closed")

    async def _answer(self, expected: asyncio.Future[Any], timeout_s: float, what: str) -> Any:  # noqa: ANN401
        """Wait for `expected`, or find out that it will not come."""
        await asyncio.wait((expected, self._gone), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if expected.done():
            return expected.result()
        if self._gone.done():
            raise BrokerAwayError(f"{self._endpoint}: {self._gone.result()}")
        raise BrokerSilentError(f"{self._endpoint}: the broker did not {what} within {timeout_s:g} s")

    def _expect(self, mid: int | None) -> Confirmation:
        expected: Confirmation = self._loop.create_future()
        self._waiting[mid or 0] = expected
        return expected

    def _check(self, result: MQTTErrorCode) -> None:
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BrokerAwayError(f"{self._endpoint}: {paho.error_string(result)}")

    def _settle(self, mid: int, codes: Sequence[ReasonCode]) -> None:
        expected = self._waiting.pop(mid, None)
        if expected is not None and not expected.done():
            expected.set_result(codes)

    def _settle_connect(
        self,
        code: ReasonCode,
        receive_maximum: int | None,
        largest_packet_bytes: int,
        session_expiry_s: int | None,
        *,
        session_present: bool,
    ) -> None:
        self.session_expiry_s = session_expiry_s
        self.receive_maximum = receive_maximum
        # Without the property a broker takes as many as there are packet ids.
        self.most_unconfirmed = min(receive_maximum or _MOST_UNCONFIRMED, _MOST_UNCONFIRMED)
        self._largest_packet_bytes = largest_packet_bytes
        self.session_present = session_present
        if code.is_failure:
            self._lost(f"the broker refuses the connection: {code}")
        elif not self._accepted.done():
            self._accepted.set_result(None)

    def _lost(self, why: str) -> None:
        if why and not self._gone.done():
            self._gone.set_result(why)

    def _failed(self, error: Exception) -> None:
        self._lost(f"{type(error).__name__}: {error}")

    # What paho calls.

    def _connected(self, _c: object, _u: object, flags: Any, code: ReasonCode, properties: Any) -> None:  # noqa: ANN401
        allowed = getattr(properties, "ReceiveMaximum", None)
        largest = getattr(properties, "MaximumPacketSize", _LARGEST_PACKET_BYTES)
        kept_s = getattr(properties, "SessionExpiryInterval", None)
        self._settle_connect(code, allowed, largest, kept_s, session_present=flags.session_present)

    def _disconnected(self, _c: object, _u: object, flags: Any, code: ReasonCode, _p: object) -> None:  # noqa: ANN401
        by_broker = flags.is_disconnect_packet_from_server
        self._lost(f"disconnected by the broker: {code}" if by_broker else "the connection was lost")

    def _subscribed(self, _c: object, _u: object, mid: int, codes: Sequence[ReasonCode], _p: object) -> None:
        self._settle(mid, codes)

    def _published(self, _c: object, _u: object, mid: int, code: ReasonCode, _p: object) -> None:
        self._settle(mid, (code,))

    def _arrived(self, _c: object, _u: object, message: paho.MQTTMessage) -> None:
        if self._on_message is not None:
            self._on_message(message)


def _properties(expires_in_s: int | None, traceparent: bytes) -> Properties | None:
    """Of a message that is published; None for none."""
    if traceparent:
        return _new_properties(expires_in_s, traceparent)
    return None if expires_in_s is None else _shared_properties(expires_in_s)


@lru_cache(maxsize=128)
def _shared_properties(expires_in_s: int) -> Properties:
    """Messages share them, since paho only reads them: making them takes a quarter of the time of a whole message."""
    return _new_properties(expires_in_s, b"")


def _new_properties(expires_in_s: int | None, traceparent: bytes) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if expires_in_s is not None:
        properties.MessageExpiryInterval = expires_in_s
    if traceparent:
        properties.UserProperty = (TRACEPARENT, traceparent.decode())
    return properties


def traceparent_in(message: paho.MQTTMessage) -> bytes:
    """What a message says of its trace, in a user property of MQTT 5; `b""` for nothing, or for nothing valid."""
    properties = getattr(message.properties, "UserProperty", None)
    return traceparent_of(dict(properties).get(TRACEPARENT)) if properties else b""


def _refusals(filters: Sequence[str], codes: Sequence[ReasonCode]) -> str:
    """Which subscriptions the broker refuses and why, `""` for none."""
    refused = [f"{text!r}: {code}" for text, code in zip(filters, codes, strict=False) if code.value >= _FAILURE]
    return f"the broker refuses the subscriptions {', '.join(refused)}" if refused else ""
