"""The embedded MQTT brokers: a session's queue waits for its bridge, in order, many messages in flight."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from servers.availability import unavailable
from servers.background import BackgroundLoop

from infra.embedded import EmbeddedMqtt, mqtt_configuration
from infra.embedded.mqtt import Kind, find_mosquitto

_MESSAGES = 5000
_TIMEOUT_S = 30.0


@pytest.fixture(scope="module", params=["mosquitto", "iotcore"])
def broker(
    request: pytest.FixtureRequest, servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedMqtt]:
    kind: Kind = request.param
    if kind == "mosquitto" and find_mosquitto() is None:
        unavailable("Mosquitto", "not installed")
    server = EmbeddedMqtt(tmp_path_factory.mktemp(kind), 0, prefer=kind)
    servers_loop.enter(server)
    yield server
    servers_loop.leave(server)


class _Session:
    """A subscriber with a persistent session that acknowledges only when told to."""

    def __init__(self, url: str, client_id: str, wanted: int, *, acknowledge: bool = True) -> None:
        self.payloads: list[bytes] = []
        self.complete = threading.Event()
        self.subscribed = threading.Event()
        self._wanted = wanted
        self._acknowledge = acknowledge
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=False, manual_ack=True)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("twins/+/+/telemetry", qos=1)
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        where = urlsplit(url)
        self._client.connect(str(where.hostname), where.port or 0)
        self._client.loop_start()

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self.payloads.append(bytes(message.payload))
        if self._acknowledge:
            self._client.ack(message.mid, message.qos)
        if len(self.payloads) == self._wanted:
            self.complete.set()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _publish(url: str, payloads: list[bytes], version: MQTTProtocolVersion) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=version)
    client.max_inflight_messages_set(1000)
    where = urlsplit(url)
    client.connect(str(where.hostname), where.port or 0)
    client.loop_start()
    sent = [client.publish("twins/incubator/one/telemetry", payload, qos=1) for payload in payloads]
    for message in sent:
        message.wait_for_publish(_TIMEOUT_S)
    client.disconnect()
    client.loop_stop()


def test_unacknowledged_messages_come_again_in_order_after_a_reconnect(broker: EmbeddedMqtt) -> None:
    payloads = [str(number).encode() for number in range(100)]
    first = _Session(broker.url, "again", len(payloads), acknowledge=False)
    assert first.subscribed.wait(_TIMEOUT_S)
    _publish(broker.url, payloads, MQTTProtocolVersion.MQTTv311)
    assert first.complete.wait(_TIMEOUT_S)
    first.close()
    second = _Session(broker.url, "again", len(payloads))
    try:
        assert second.complete.wait(_TIMEOUT_S)
        assert first.payloads == second.payloads == payloads
    finally:
        second.close()


def test_queue_waits_for_a_session_that_is_away(broker: EmbeddedMqtt) -> None:
    first = _Session(broker.url, "away", 1)
    assert first.subscribed.wait(_TIMEOUT_S)
    first.close()
    payloads = [f"queued {number}".encode() for number in range(_MESSAGES)]
    _publish(broker.url, payloads, MQTTProtocolVersion.MQTTv311)
    again = _Session(broker.url, "away", _MESSAGES)
    try:
        assert again.complete.wait(_TIMEOUT_S)
        assert again.payloads == payloads
    finally:
        again.close()


def test_clients_of_both_versions_meet(broker: EmbeddedMqtt) -> None:
    session = _Session(broker.protocols["3.1.1"], "versions", 1)
    try:
        assert session.subscribed.wait(_TIMEOUT_S)
        _publish(broker.protocols["5"], [b"from 5"], MQTTProtocolVersion.MQTTv5)
        assert session.complete.wait(_TIMEOUT_S)
        assert session.payloads == [b"from 5"]
    finally:
        session.close()


def test_payload_of_two_mebibytes_passes(broker: EmbeddedMqtt) -> None:
    session = _Session(broker.url, "large", 1)
    try:
        assert session.subscribed.wait(_TIMEOUT_S)
        _publish(broker.url, [bytes(2 * 1024 * 1024)], MQTTProtocolVersion.MQTTv311)
        assert session.complete.wait(_TIMEOUT_S)
        assert len(session.payloads[0]) == 2 * 1024 * 1024
    finally:
        session.close()


async def test_mosquitto_lets_thousands_of_messages_wait_for_an_acknowledgement(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        unavailable("Mosquitto", "not installed")
    async with EmbeddedMqtt(tmp_path, 0, prefer="mosquitto") as server:
        session = _Session(server.url, "in-flight", _MESSAGES, acknowledge=False)
        assert session.subscribed.wait(_TIMEOUT_S)
        payloads = [str(number).encode() for number in range(_MESSAGES)]
        _publish(server.url, payloads, MQTTProtocolVersion.MQTTv311)
        assert session.complete.wait(_TIMEOUT_S)
        assert session.payloads == payloads
        session.close()


async def test_mosquitto_keeps_a_session_across_a_restart(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        unavailable("Mosquitto", "not installed")
    async with EmbeddedMqtt(tmp_path, 0, prefer="mosquitto") as server:
        first = _Session(server.url, "kept", 1)
        assert first.subscribed.wait(_TIMEOUT_S)
        first.close()
        _publish(server.url, [b"kept"], MQTTProtocolVersion.MQTTv311)
    async with EmbeddedMqtt(tmp_path, 0, prefer="mosquitto") as server:
        again = _Session(server.url, "kept", 1)
        assert again.complete.wait(_TIMEOUT_S)
        assert again.payloads == [b"kept"]
        again.close()


@pytest.mark.parametrize("kind", ["mosquitto", "iotcore"])
async def test_an_absent_bridge_finds_as_many_messages_as_are_promised(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With smaller limits: that the full ones hold was measured once."""
    if kind == "mosquitto" and find_mosquitto() is None:
        unavailable("Mosquitto", "not installed")
    monkeypatch.setattr(mqtt_configuration, "MAX_QUEUED", 2000)
    monkeypatch.setattr(mqtt_configuration, "_SEGMENT_BYTES", 16 * 1024)
    promised = mqtt_configuration.kept_messages(kind)
    async with EmbeddedMqtt(tmp_path, 0, prefer=kind) as server:
        first = _Session(server.url, "absent", 1)
        assert first.subscribed.wait(_TIMEOUT_S)
        first.close()
        payloads = [b"%100d" % number for number in range(promised + 500)]
        await asyncio.to_thread(_publish, server.url, payloads, MQTTProtocolVersion.MQTTv311)
        again = _Session(server.url, "absent", promised)
        assert again.complete.wait(_TIMEOUT_S)
        await asyncio.sleep(0.5)  # whether there is more
        again.close()
    found = len(again.payloads)
    # Mosquitto drops the newest, iotcore the oldest, and may keep a few segments more.
    assert again.payloads == (payloads[:found] if kind == "mosquitto" else payloads[-found:])
    assert promised <= found <= (promised if kind == "mosquitto" else promised + 400)
