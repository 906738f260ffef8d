"""The connection of simulated devices to their MQTT broker."""

import json
import threading
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from infra.plant.device import Device

log = structlog.get_logger(__name__)

_QUEUED = 10_000
_UNDER_WAY = 200
"""Messages that may wait for the broker's word: at 50 samples a second from each of many devices that is soon more
than the 20 of the client's default."""


class Link:
    """Publishes telemetry and takes commands; it comes back by itself.

    Args:
        url: `mqtt://` or `mqtts://`, with user, password and port if needed.
        devices: By device name.
        type_name: Twin type, for the topics.
    """

    def __init__(self, url: str, devices: Mapping[str, Device], type_name: str) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self.subscribed = threading.Event()
        self._devices, self._prefix = devices, f"twins/{type_name}"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"plant-{uuid.uuid4().hex[:16]}")
        self._client.username_pw_set(unquote(parts.username or "") or None, unquote(parts.password or "") or None)
        if parts.scheme == "mqtts":
            self._client.tls_set()
        self._client.max_queued_messages_set(_QUEUED)
        self._client.max_inflight_messages_set(_UNDER_WAY)
        self._client.reconnect_delay_set(min_delay=1, max_delay=10)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._command
        self._client.on_subscribe = lambda *_: self.subscribed.set()

    def start(self) -> None:
        """Connect in the background, as often as needed."""
        self._client.connect_async(*self._address, keepalive=30)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, device: str, record: Mapping[str, Any]) -> None:
        """Send a record, at once or when the broker is back."""
        self._client.publish(f"{self._prefix}/{device}/telemetry", json.dumps(record), qos=1)

    def _connected(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:  # noqa: ANN401
        if reason.is_failure:
            log.warning("broker refuses", reason=str(reason))
            return
        log.info("connected", broker=f"{self._address[0]}:{self._address[1]}", devices=list(self._devices))
        client.subscribe([(f"{self._prefix}/{device}/commands/+", 1) for device in self._devices])

    def _disconnected(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:  # noqa: ANN401
        if reason.is_failure:
            log.warning("connection lost, trying again", reason=str(reason))

    def _command(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:  # noqa: ANN401
        device, _, name = message.topic.removeprefix(f"{self._prefix}/").split("/")
        try:
            command = json.loads(message.payload)
            value, command_id = command["value"], command["id"]
        except (ValueError, KeyError, TypeError):
            log.warning("not a command", topic=message.topic)
            return
        if self._devices[device].obey(name, value):
            client.publish(f"{self._prefix}/{device}/acks/{name}", json.dumps({"id": command_id}), qos=1)
