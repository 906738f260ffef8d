"""Bare paho: a session at QoS 1 whose messages are received, acknowledged and forgotten."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from infra.bench.job import Stopwatch

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

_SESSION_S = 3600


class Consuming(msgspec.Struct, frozen=True):
    """What to receive.

    Attributes:
        host: Of the broker.
        port: Of its listener for MQTT 5.
        client_id: Of the session.
        topic: Filter.
        messages: How many; 0 to make the session only.
        receive_maximum: Messages that wait for their acknowledgement.
        report: File to write lines to.
    """

    host: str
    port: int
    client_id: str
    topic: str
    messages: int
    receive_maximum: int
    report: str


def main() -> None:
    """Receive everything once."""
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Consuming)
    watch = Stopwatch(job.report)
    done = 0
    client = Client(CallbackAPIVersion.VERSION2, client_id=job.client_id, protocol=MQTTProtocolVersion.MQTTv5)

    def connected(*_: Any) -> None:  # noqa: ANN401 - paho passes more than is wanted
        client.subscribe(job.topic, qos=1)

    def subscribed(*_: Any) -> None:  # noqa: ANN401
        if not job.messages:
            client.disconnect()

    def arrived(_client: Client, _data: object, _message: "MQTTMessage") -> None:
        nonlocal done
        if not done:
            watch.start()
        done += 1
        if done % 1000 == 0:
            watch.progress(done)
        if done == job.messages:
            watch.finish(done)
            client.disconnect()

    client.on_connect, client.on_subscribe, client.on_message = connected, subscribed, arrived
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = _SESSION_S
    properties.ReceiveMaximum = job.receive_maximum
    client.connect(job.host, job.port, clean_start=False, properties=properties)
    client.loop_forever()
    if not job.messages:
        watch.start()
        watch.finish(0)


if __name__ == "__main__":
    main()
