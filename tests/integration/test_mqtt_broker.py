"""MQTT beyond the contract, over a real Mosquitto: TLS, accounts, expiry, and two bridges of one name."""

import asyncio
import uuid
from typing import Any
from urllib.parse import quote

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from servers.mosquitto import SecuredMosquitto

from connectors.mqtt.connector import connector
from connectors.mqtt.settings import MqttSettings
from connectors.ports import BrokerAwayError, Outgoing, Receipt
from infra.embedded import EmbeddedMqtt
from schemas.clock import SystemClock

pytestmark = pytest.mark.system

TELEMETRY = "twins/incubator/inc-1/telemetry"


def settings(url: str, **keys: Any) -> MqttSettings:
    return MqttSettings.model_validate({"url": url, "client_id": f"t-{uuid.uuid4().hex[:8]}", **keys})


def with_account(url: str, name: str, password: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{quote(name, safe='')}:{quote(password, safe='')}@{rest}"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("where", ["url", "keys"])
async def test_tls_and_account(secured_mosquitto: SecuredMosquitto, protocol: str, where: str) -> None:
    server = secured_mosquitto
    if where == "url":
        keys: dict[str, str] = {}
        url = with_account(server.tls_url, server.username, server.password)
    else:
        keys = {"username": server.username, "password": server.password}
        url = server.tls_url
    made = connector(settings(url, ca_file=str(server.ca_file), protocol=protocol, **keys), SystemClock())
    async with made.inlet() as inlet, made.outlet() as outlet:
        await outlet.publish([Outgoing("", TELEMETRY, b"{}")])
        (delivery,) = await inlet.receive()
        assert delivery.payload == b"{}"
        await inlet.acknowledge(delivery)


async def test_wrong_password_is_told_without_showing_it(secured_mosquitto: SecuredMosquitto) -> None:
    url = with_account(secured_mosquitto.url, secured_mosquitto.username, "s3cret")
    with pytest.raises(BrokerAwayError, match="Not authorized") as caught:
        await connector(settings(url), SystemClock()).inlet().__aenter__()
    assert "s3cret" not in str(caught.value)


async def test_broker_with_another_authority_is_refused(secured_mosquitto: SecuredMosquitto) -> None:
    with pytest.raises(BrokerAwayError, match="certificate verify failed"):
        await connector(settings(secured_mosquitto.tls_url), SystemClock()).outlet().__aenter__()


async def test_missing_authority_file_is_told(secured_mosquitto: SecuredMosquitto) -> None:
    made = connector(settings(secured_mosquitto.tls_url, ca_file="/no/such.pem"), SystemClock())
    with pytest.raises(BrokerAwayError, match="No such file"):
        await made.outlet().__aenter__()


async def test_offline_device_never_gets_a_command_whose_time_is_over(mosquitto: EmbeddedMqtt) -> None:
    topic = f"twins/incubator/{uuid.uuid4().hex}/commands/heater"
    async with connector(settings(mosquitto.url), SystemClock()).outlet() as outlet:
        device = connector(
            settings(mosquitto.url, default_routes=False, inbound=[{"topic": topic, "type": "tank", "id": "x"}]),
            SystemClock(),
        )
        async with device.inlet():
            pass
        sent = [Outgoing("", topic, b"stale", 1.0), Outgoing("", topic, b"fresh", 60.0)]
        assert await outlet.publish(sent) == [Receipt.TAKEN, Receipt.TAKEN]
        await asyncio.sleep(2.5)
        async with device.inlet() as inlet:
            assert [delivery.payload for delivery in await inlet.receive()] == [b"fresh"]


async def test_second_bridge_of_the_same_name_takes_the_session_over(mosquitto: EmbeddedMqtt) -> None:
    made = connector(settings(mosquitto.url), SystemClock())
    async with made.inlet() as first, made.inlet():
        with pytest.raises(BrokerAwayError, match=r"lost|taken over"):
            await first.receive()


async def test_retained_telemetry_comes_once_per_session_with_mqtt_5(mosquitto: EmbeddedMqtt) -> None:
    topic = f"twins/incubator/{uuid.uuid4().hex}/telemetry"
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    client.publish(topic, b"{}", qos=1, retain=True).wait_for_publish(5)
    made = connector(settings(mosquitto.url), SystemClock())
    got: list[str] = []
    for _ in range(2):
        async with made.inlet() as inlet:
            try:
                async with asyncio.timeout(1):
                    while True:
                        deliveries = await inlet.receive()
                        got += [delivery.address for delivery in deliveries]
                        await inlet.acknowledge(deliveries[-1])
            except TimeoutError:
                pass
        await asyncio.sleep(0.3)
    client.publish(topic, b"", qos=1, retain=True).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()
    assert got.count(topic) == 1


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_bridge_that_is_limited_to_its_types_loses_nothing_and_lets_go_of_the_others(
    mosquitto: EmbeddedMqtt, protocol: str
) -> None:
    everything = settings(mosquitto.url, protocol=protocol)
    limited = everything.model_copy(update={"types": ("incubator",)})
    mine, other = TELEMETRY, "twins/tank/t-1/telemetry"
    async with connector(everything, SystemClock()).outlet() as outlet:
        async with connector(everything, SystemClock()).inlet():
            pass
        await outlet.publish([Outgoing("", topic, b"waited") for topic in (mine, other)])
        async with connector(limited, SystemClock()).inlet() as inlet:
            kept: list[str] = []
            while len(kept) < 2:
                deliveries = await inlet.receive()
                kept += [delivery.address for delivery in deliveries]
                await inlet.acknowledge(deliveries[-1])
            assert sorted(kept) == sorted((mine, other))
            await asyncio.sleep(0.3)
            await outlet.publish(
                [Outgoing("", topic, b"%d" % number) for number in range(3) for topic in (other, mine)]
            )
            taken: list[tuple[str, bytes]] = []
            while (mine, b"2") not in taken:
                taken += [(delivery.address, delivery.payload) for delivery in await inlet.receive()]
    assert taken == [(mine, b"%d" % number) for number in range(3)]
