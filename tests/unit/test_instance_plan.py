"""What an instance consists of, decided before anything is started."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.instance.console import Console
from infra.instance.plan import (
    Servers,
    check_ports,
    embedded_servers,
    example,
    examples,
    mqtt_url,
    resolve,
    roles_of,
    without_ahead_check,
)
from infra.masking import Masker
from infra.settings import Settings
from schemas.bundle import read_folder
from schemas.errors import SetupError


def _settings(**sections: object) -> Settings:
    return Settings.model_validate(sections)


def _taken(*ports: int) -> tuple[Callable[..., None], list[tuple[int, str]]]:
    asked: list[tuple[int, str]] = []

    def require(port: int, *, owner: str, remedy: str) -> None:
        asked.append((port, owner))
        if port in ports:
            message = f"port {port} for {owner} is taken: {remedy}"
            raise SetupError(message)

    return require, asked


def test_only_servers_that_are_not_configured_are_embedded() -> None:
    assert embedded_servers(Settings()) == ["kafka", "mqtt", "documents"]
    settings = _settings(kafka={"bootstrap_servers": "h:1"}, mqtt={"url": "mqtt://h"}, metadata={"url": "mongodb://h"})
    assert embedded_servers(settings) == []


def test_every_port_is_checked_before_anything_starts() -> None:
    require, asked = _taken()
    check_ports(_settings(http={"port": 0}), require=require)
    assert asked == [(9092, "Kafka"), (1883, "the MQTT broker")]
    require, _ = _taken(1883)
    with pytest.raises(SetupError, match="--mqtt-port"):
        check_ports(Settings(), require=require)


def test_one_port_for_two_is_refused() -> None:
    require, _ = _taken()
    with pytest.raises(SetupError, match="port 9092 is asked for by the API and by Kafka"):
        check_ports(_settings(http={"port": 9092}), require=require)


def test_roles_get_every_address_and_nothing_to_choose(tmp_path: Path) -> None:
    settings = _settings(data_dir=tmp_path, http={"port": 0}, metrics={"port": 9464})
    servers = Servers(
        kafka="127.0.0.1:1", mqtt="mqtt://127.0.0.1:2", mqtt_protocol="3.1.1", documents="mongodb://127.0.0.1:3"
    )
    resolved = resolve(settings, servers, 4)
    assert resolved.kafka.options().bootstrap_servers == "127.0.0.1:1"
    assert (resolved.mqtt.url, resolved.mqtt.protocol) == ("mqtt://127.0.0.1:2", "3.1.1")
    assert resolved.metadata.url == "mongodb://127.0.0.1:3"
    assert (resolved.http.port, resolved.metrics.port) == (4, 0)
    assert embedded_servers(resolved) == []


def test_configured_servers_are_left_as_they_are() -> None:
    settings = _settings(kafka={"bootstrap_servers": "h:1"}, mqtt={"url": "mqtt://h", "protocol": "5"})
    resolved = resolve(settings, Servers(), 4)
    assert resolved.kafka == settings.kafka
    assert resolved.mqtt == settings.mqtt


def test_the_amqp_bridge_is_off_without_a_url() -> None:
    assert "bridge:amqp" not in roles_of(Settings())
    assert roles_of(_settings(amqp={"url": "amqp://h"}))["bridge:amqp"] == ("bridge", "amqp")
    assert set(roles_of(Settings())) == {"bridge:mqtt", "sink:timeseries", "sink:metadata", "api", "worker"}


def test_the_plant_gets_the_brokers_credentials_percent_encoded() -> None:
    settings = _settings(mqtt={"url": "mqtts://h:9", "username": "me@home", "password": "a/b:c"})
    assert mqtt_url(settings) == "mqtts://me%40home:a%2Fb%3Ac@h:9"
    assert mqtt_url(_settings(mqtt={"url": "mqtt://h"})) == "mqtt://h:1883"


def test_examples_are_found_with_their_devices_and_none_is_called_as_the_type_of_the_tutorial() -> None:
    assert examples() == ["incubator", "pump", "tanks", "vibration"]
    for name, type_name in zip(examples(), ("incubator", "lift_pump", "tanks", "vibration"), strict=True):
        definition = read_folder(example(name)).definition()
        assert str(definition.type_name) == type_name
        assert without_ahead_check(read_folder(example(name))).definition().max_ahead_s == 0


def test_a_type_for_another_speed_is_the_same_but_for_its_check_of_the_future() -> None:
    bundle = read_folder(example("incubator"))
    changed = without_ahead_check(bundle)
    assert changed.definition().max_ahead_s == 0
    assert changed.hash != bundle.hash
    assert without_ahead_check(changed).hash == changed.hash
    assert (
        changed.definition().model_copy(update={"max_ahead_s": bundle.definition().max_ahead_s}) == bundle.definition()
    )


def test_the_console_speaks_to_people_or_to_machines_and_never_of_secrets() -> None:
    people, machines = io.StringIO(), io.StringIO()
    for stream, as_json in ((people, False), (machines, True)):
        console = Console(as_json=as_json, masker=Masker(["hunter2"]), stream=stream)
        console.step("using hunter2")
        console.url("API", "http://127.0.0.1:8080")
        console.ready("ready", urls={"API": "http://127.0.0.1:8080"})
    assert people.getvalue().splitlines() == ["using ***", "  API          http://127.0.0.1:8080", "ready"]
    events = [json.loads(line) for line in machines.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["progress", "url", "ready"]
    assert events[2]["urls"] == {"API": "http://127.0.0.1:8080"}
