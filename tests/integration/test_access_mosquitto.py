"""The access rules that we ship for Mosquitto: a device reaches its own twin and nothing else."""

import queue
import socket
import struct
import time
from collections.abc import Iterator

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from servers.availability import unavailable
from servers.background import BackgroundLoop
from servers.mosquitto import ShippedMosquitto
from support.forged import forged_topics
from typer.testing import CliRunner

from infra.cli.app import app
from infra.embedded.mqtt import find_mosquitto
from infra.embedded.ports import LOOPBACK

pytestmark = pytest.mark.system

BRIDGE, AUDITOR = "twinstream", "auditor"
PASSWORD = "p@ss:wörd"  # noqa: S105 - of a test server
_TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def broker(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShippedMosquitto]:
    if find_mosquitto() is None:
        unavailable("Mosquitto", "the system package mosquitto is not installed")
    server = ShippedMosquitto(tmp_path_factory.mktemp("shipped"))
    # Somebody who sees everything that the broker accepted.
    server.acl += f"\nuser {AUDITOR}\ntopic read #\ntopic read $SYS/#\n"
    for name in (BRIDGE, AUDITOR, "operator"):
        server.admit(name, PASSWORD)
    for twin in ("one", "two"):
        command = ["device", "add", "incubator", twin, "--broker", "mosquitto", "--into", str(server.passwords)]
        made = CliRunner().invoke(app, [*command, "--password-stdin"], input=f"{PASSWORD}\n")
        assert made.exit_code == 0, made.output
    servers_loop.enter(server)
    yield server
    servers_loop.leave(server)


class Client:
    """A client that collects what it hears."""

    def __init__(
        self, server: ShippedMosquitto, user: str, *filters: str, client_id: str = "", inside: bool = False
    ) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5)
        self._client.username_pw_set(user, PASSWORD)
        self._client.on_message = lambda _c, _u, message: self.heard.put((message.topic, bytes(message.payload)))
        subscribed: queue.Queue[object] = queue.Queue()
        self.lost: queue.Queue[object] = queue.Queue()
        self._client.on_subscribe = lambda *_: subscribed.put(None)
        self._client.on_connect = lambda *_: subscribed.put(None)
        self._client.on_disconnect = lambda *_: self.lost.put(None)
        self._client.connect(LOOPBACK, server.inside_port if inside else server.port)
        self._client.loop_start()
        subscribed.get(timeout=_TIMEOUT_S)
        if filters:
            self._client.subscribe([(text, 1) for text in filters])
            subscribed.get(timeout=_TIMEOUT_S)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(_TIMEOUT_S)

    def all_heard(self, last: bytes) -> list[tuple[str, bytes]]:
        """Everything up to the message with this payload."""
        found: list[tuple[str, bytes]] = []
        while not found or found[-1][1] != last:
            found.append(self.heard.get(timeout=_TIMEOUT_S))
        return found[:-1]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def auditor(broker: ShippedMosquitto) -> Iterator[Client]:
    made = Client(broker, AUDITOR, "#", "$SYS/broker/forged/#", inside=True)
    yield made
    made.close()


@pytest.fixture
def device(broker: ShippedMosquitto) -> Iterator[Client]:
    made = Client(broker, "incubator/one", "#", "twins/#", "twins/incubator/two/#", "$SYS/#", "+/+/+/commands/+")
    yield made
    made.close()


def test_none_of_a_thousand_forged_publishes_is_accepted(broker: ShippedMosquitto, auditor: Client) -> None:
    forger = Forger(broker, "incubator/one")
    topics = forged_topics(1000)
    assert len(topics) == 1000
    for topic in topics:
        forger.publish(topic, b"forged")
    # By hand, for a client library would refuse to send them.
    for topic in ("twins/incubator/+/telemetry", "twins/#", "+", "twins/incubator/two/telemetry\0"):
        forger.publish(topic, b"forged")
    forger.publish("twins/incubator/one/telemetry", b"own telemetry")
    forger.publish("twins/incubator/one/acks/heater", b"own ack")
    forger.close()
    assert auditor.all_heard(b"own ack") == [("twins/incubator/one/telemetry", b"own telemetry")]


def test_retained_wills_and_topic_aliases_are_no_way_around(broker: ShippedMosquitto, auditor: Client) -> None:
    will = paho.Client(CallbackAPIVersion.VERSION2, "will", protocol=paho.MQTTv5)
    will.username_pw_set("incubator/one", PASSWORD)
    will.will_set("twins/incubator/two/telemetry", b"forged", qos=1, retain=True)
    will.connect(LOOPBACK, broker.port)
    will.loop_start()
    while not will.is_connected():
        time.sleep(0.01)
    alias = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    alias.TopicAlias = 1
    will.publish("twins/incubator/one/telemetry", b"own", qos=1, properties=alias).wait_for_publish(_TIMEOUT_S)
    will.publish("twins/incubator/two/telemetry", b"forged", qos=1, properties=alias).wait_for_publish(_TIMEOUT_S)
    will.publish("twins/incubator/two/telemetry", b"forged", qos=1, retain=True).wait_for_publish(_TIMEOUT_S)
    will.loop_stop()
    if (connection := will.socket()) is not None:
        connection.close()  # a connection that breaks is what a will is for
    time.sleep(0.5)
    device = Client(broker, "incubator/one")
    device.publish("twins/incubator/one/telemetry", b"last")
    device.close()
    assert auditor.all_heard(b"last") == [("twins/incubator/one/telemetry", b"own")]


def test_a_device_hears_its_own_commands_alone(broker: ShippedMosquitto, device: Client) -> None:
    bridge = Client(broker, BRIDGE, inside=True)
    for twin in ("two", "one"):
        for word in ("telemetry", "acks/heater", "requests/reset", "events/too_hot", "commands/heater"):
            bridge.publish(f"twins/incubator/{twin}/{word}", f"{twin} {word}".encode())
    bridge.publish("twins/incubator/one/commands/fan", b"last")
    bridge.close()
    heard = set(device.all_heard(b"last"))  # once for every filter that matches
    assert heard == {("twins/incubator/one/commands/heater", b"one commands/heater")}


def test_a_device_takes_no_session_of_others(broker: ShippedMosquitto) -> None:
    bridge = Client(broker, BRIDGE, "twins/#", client_id="twinstream-in", inside=True)
    thief = Client(broker, "incubator/one", "twins/#", client_id="twinstream-in")
    thief.publish("twins/incubator/one/telemetry", b"mine")
    assert bridge.heard.get(timeout=_TIMEOUT_S) == ("twins/incubator/one/telemetry", b"mine")
    assert bridge.lost.empty()
    thief.close()
    bridge.close()


def test_an_operator_asks_and_looks_but_speaks_for_no_device(broker: ShippedMosquitto, auditor: Client) -> None:
    operator = Client(broker, "operator", "twins/+/+/events/+")
    operator.publish("twins/incubator/one/telemetry", b"forged")
    operator.publish("twins/incubator/one/acks/heater", b"forged")
    operator.publish("twins/incubator/one/commands/heater", b"forged")
    operator.publish("twins/incubator/one/requests/reset", b"request")
    operator.close()
    assert auditor.all_heard(b"request") == []


@pytest.mark.parametrize("user", ["incubator/#", "incubator/+", "#", "+/+", "incubator/one", ""])
def test_nobody_gets_in_without_the_password(broker: ShippedMosquitto, user: str) -> None:
    with pytest.raises(ConnectionError):
        Forger(broker, user, "wrong")


class Forger:
    """MQTT 3.1.1 by hand: what a client library would not send."""

    def __init__(self, server: ShippedMosquitto, user: str, password: str = PASSWORD) -> None:
        self._server, self._user, self._password = server, user, password
        self._connect()

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1; the broker confirms, or hangs up."""
        body = _text(topic) + struct.pack(">H", 1) + payload
        try:
            self._socket.sendall(b"\x32" + _length(len(body)) + body)
            if self._socket.recv(4):
                return
        except ConnectionError:
            pass
        self._socket.close()
        self._connect()

    def close(self) -> None:
        self._socket.close()

    def _connect(self) -> None:
        self._socket = socket.create_connection((LOOPBACK, self._server.port), _TIMEOUT_S)
        body = _text("MQTT") + b"\x04\xc2\x00\x3c" + _text("forger") + _text(self._user) + _text(self._password)
        self._socket.sendall(b"\x10" + _length(len(body)) + body)
        if self._socket.recv(4) != b"\x20\x02\x00\x00":
            self._socket.close()
            raise ConnectionError(self._user)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _length(rest: int) -> bytes:
    packed = bytearray()
    while True:
        rest, digit = divmod(rest, 128)
        packed.append(digit | (0x80 if rest else 0))
        if not rest:
            return bytes(packed)
