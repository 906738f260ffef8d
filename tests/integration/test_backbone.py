"""The backbone end to end, with plain clients: recordings in, estimates, commands, time series and documents out."""

import base64
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import paho.mqtt.client as mqtt
import pymongo
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from reference.incubator_reference import PLANT_2021, replay
from reference.recordings import ROOM_T1, ROOM_T3, read_recording, recordings_folder
from support.instance import Instance, eventually

ROOT = Path(__file__).parents[2]
FIELDS = ("average_temperature", "T_air", "T_heater", "prediction_error", "lid_open", "heater_command", "fan_command")
SECOND = 1_000_000_000
Rows = list[dict[str, int | float | bool]]

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


class MqttClient:
    """A plain paho client that remembers what it hears."""

    def __init__(self, url: str, *topics: str) -> None:
        host, port = url.removeprefix("mqtt://").split("@")[-1].split(":")
        self.heard: list[tuple[str, Any]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self._subscribed = threading.Event()
        self._client.on_message = lambda _c, _u, message: self.heard.append(
            (message.topic, json.loads(message.payload))
        )
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect(host, int(port))
        self._client.loop_start()
        if topics:
            self._client.subscribe([(topic, 1) for topic in topics])
            assert self._subscribed.wait(10)

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with Instance(tmp_path_factory.mktemp("up")) as running:
        running.run("deploy", str(ROOT / "examples" / "incubator"))
        yield running


@pytest.fixture
def recordings() -> Path:
    found = recordings_folder()
    if found is None:
        pytest.skip("no recordings: set TWINSTREAM_RECORDINGS")
    return found


@pytest.fixture
def rows(recordings: Path) -> Rows:
    return read_recording(recordings / ROOM_T1)


def is_ready(instance: Instance) -> bool:
    try:
        return httpx.get(f"{instance.api}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def telemetry(row: dict[str, int | float | bool], seq: int) -> bytes:
    names = ("time", "t1", "t2", "t3", "heater_on", "fan_on")
    return json.dumps({**{name: row[name] for name in names}, "seq": seq, "boot": "a"}).encode()


def put(instance: Instance, twin: str, parameters: dict[str, Any], type_name: str = "incubator") -> httpx.Response:
    url = f"{instance.api}/api/twins/{type_name}/{twin}"
    return httpx.put(url, json={"parameters": parameters, "tags": {"site": "lab"}}, timeout=15)


def series(instance: Instance, twin: str, field: str) -> tuple[list[int], list[float]]:
    answer = httpx.get(f"{instance.api}/api/twins/incubator/{twin}/series", params={"field": field}, timeout=10)
    if answer.status_code == 404:
        return [], []
    found = answer.json()
    return found["time_ns"], found["value"]


def assert_estimates(instance: Instance, twin: str, rows: Rows, parameters: dict[str, Any]) -> dict[str, Any]:
    expected = replay(rows, parameters)
    eventually(
        lambda: all(len(series(instance, twin, field)[0]) == len(rows) for field in FIELDS), "all points are stored"
    )
    for field in FIELDS:
        time_ns, value = series(instance, twin, field)
        assert time_ns == [row["time"] for row in rows]
        np.testing.assert_allclose(value, expected[field].astype(float), rtol=0, atol=1e-9, err_msg=field)
    return expected


def expected_commands(rows: Rows, values: Any) -> list[tuple[int, bool]]:
    """When a command leaves: with the first record, on change, and 30 s of event time after the last."""
    sent: list[tuple[int, bool]] = []
    for row, value in zip(rows, values, strict=True):
        time_ns = int(row["time"])
        if not sent or bool(value) != sent[-1][1] or time_ns - sent[-1][0] >= 30 * SECOND:
            sent.append((time_ns, bool(value)))
    return sent


@pytest.mark.slow
@pytest.mark.recordings
def test_recording_over_mqtt_comes_out_as_estimates_commands_events_and_documents(
    instance: Instance, rows: Rows
) -> None:
    twin = "lid-2021"
    parameters = {**PLANT_2021, "room_sensor": "t1"}
    client = MqttClient(instance.urls["MQTT"], "twins/incubator/+/commands/+", "twins/incubator/+/events/+")
    answer = put(instance, twin, parameters)
    assert answer.status_code == 200, answer.text
    assert answer.json()["parameters"]["room_sensor"] == "t1"
    for index, row in enumerate(rows):
        client.publish(f"twins/incubator/{twin}/telemetry", telemetry(row, index + 1))
    expected = assert_estimates(instance, twin, rows, parameters)
    live = instance.get(f"/api/twins/incubator/{twin}")
    assert live["event_time_ns"] == rows[-1]["time"]
    assert live["outputs"]["T_heater"] == pytest.approx(expected["T_heater"][-1], abs=1e-9)
    assert live["tags"] == {"site": "lab"}
    for name in ("heater", "fan"):
        wanted = expected_commands(rows, expected[f"{name}_command"])

        def heard(name: str = name) -> list[tuple[int, bool]]:
            topic = f"twins/incubator/{twin}/commands/{name}"
            return [(command["issued_ns"], command["value"]) for where, command in client.heard if where == topic]

        eventually(lambda heard=heard, wanted=wanted: len(heard()) >= len(wanted), f"{name} commands")
        assert heard() == wanted
    opened = [message for where, message in client.heard if where.endswith("/events/lid_opened")]
    assert len(opened) == 2
    assert all(event["twin"] == twin and event["severity"] == "warning" for event in opened)
    client.close()
    listed = instance.get(f"/api/twins/incubator/{twin}/commands")["items"]
    assert {command["status"] for command in listed} <= {"issued", "sent"}
    with pymongo.MongoClient[dict[str, Any]](instance.urls["documents"]) as documents:
        store = documents["twinstream"]
        document = eventually(lambda: store.twins.find_one({"id": twin}), "the twin's document")
        assert (document["type"], document["project"], document["version"]) == ("incubator", "main", "1.0.0")
        assert document["parameters"]["G_box"] == PLANT_2021["G_box"]
        assert document["tags"] == {"site": "lab"}
        assert eventually(lambda: store.types.find_one({"type": "incubator"}), "the type's document")


@pytest.mark.recordings
def test_requests_change_the_next_record_and_answer_by_an_event(instance: Instance, recordings: Path) -> None:
    rows = read_recording(recordings / ROOM_T3)[:40]
    twin = "requests"
    client = MqttClient(instance.urls["MQTT"], f"twins/incubator/{twin}/events/+")
    for index, row in enumerate(rows[:20]):
        client.publish(f"twins/incubator/{twin}/telemetry", telemetry(row, index + 1))
    eventually(lambda: len(series(instance, twin, "T_air")[0]) == 20, "the first half")
    url = f"{instance.api}/api/twins/incubator/{twin}/requests/temperature_desired"
    accepted = httpx.post(url, json={"temperature_desired": 30}, timeout=10)
    assert accepted.status_code == 202
    refused = httpx.post(url, json={"temperature_desired": 45}, timeout=10)
    assert refused.status_code == 202
    eventually(lambda: len(client.heard) >= 2, "two answers")
    answers = {message["data"]["id"]: (message["name"], message["data"]["reason"]) for _, message in client.heard}
    assert answers[accepted.json()["id"]] == ("request_accepted", "")
    assert answers[refused.json()["id"]][0] == "request_rejected"
    assert "45" in answers[refused.json()["id"]][1]
    for index, row in enumerate(rows[20:]):
        client.publish(f"twins/incubator/{twin}/telemetry", telemetry(row, index + 21))
    client.close()
    expected = replay(rows, {}, [(20, "temperature_desired", {"temperature_desired": 30.0})])
    eventually(lambda: len(series(instance, twin, "T_air")[0]) == 40, "the second half")
    assert series(instance, twin, "heater_command")[1] == expected["heater_command"].astype(float).tolist()
    assert instance.get(f"/api/twins/incubator/{twin}")["parameters"]["temperature_desired"] == 30.0


def test_bad_input_ends_in_dead_letters_and_neighbours_go_on(instance: Instance) -> None:
    client = MqttClient(instance.urls["MQTT"])
    good = {"t1": 20.0, "t2": 21.0, "t3": 19.0, "heater_on": False, "fan_on": True}
    time_ns = 1_700_000_000 * SECOND
    bad = {
        "undecodable": b"\xff\xfe",
        "wrong_type": json.dumps({**good, "t1": "warm"}).encode(),
        "missing_field": json.dumps({**good, "t1": None}).replace('"t1": null, ', "").encode(),
        "not_finite": json.dumps({**good, "t1": float("nan")}).encode(),
        "out_of_range": json.dumps({**good, "t1": 126}).encode(),
        "future_time": json.dumps({**good, "time": 4 * 10**18}).encode(),
        "too_large": json.dumps({**good, "note": "x" * 2_000_000}).encode(),
    }
    for index, payload in enumerate(bad.values()):
        client.publish("twins/incubator/bad-1/telemetry", payload)
        ok = {**good, "time": time_ns + index * SECOND, "seq": index}
        client.publish("twins/incubator/good-1/telemetry", json.dumps(ok).encode())
    client.publish("twins/nosuchtype/bad-1/telemetry", json.dumps(good).encode())
    client.publish("twins/incubator/bad id/telemetry", json.dumps(good).encode())
    client.close()
    wanted = {*bad, "unknown_type", "invalid_name"}

    def letters() -> dict[str, Any]:
        return {letter["reason"]: letter for letter in instance.get("/api/deadletters", limit=100)["items"]}

    eventually(lambda: wanted <= letters().keys(), f"dead letters for {sorted(wanted)}")
    for reason, payload in bad.items():
        letter = letters()[reason]
        assert base64.b64decode(letter["raw_base64"]) == payload[: 64 * 1024]
        assert letter["size"] == len(payload)
        assert letter["source"] == "mqtt:twins/incubator/bad-1/telemetry"
    eventually(lambda: len(series(instance, "good-1", "T_air")[0]) == len(bad), "the neighbour's records")
    found = {item["id"] for item in instance.get("/api/twins", type="incubator", limit=100)["items"]}
    assert "good-1" in found
    assert "bad-1" not in found


@pytest.mark.slow
def test_second_type_is_deployed_while_the_first_runs_and_steps(instance: Instance) -> None:
    before = {item["name"]: item["pid"] for item in json.loads(instance.run("status", "--json"))["items"]}
    instance.run("deploy", str(ROOT / "tests" / "types" / "tank"))
    client = MqttClient(instance.urls["MQTT"])
    payload = json.dumps({"level_m": 1.0, "inflow": 0.001, "outflow": 0.0005}).encode()

    def stepped() -> Any:
        client.publish("twins/tank/tank-1/telemetry", payload)
        answer = httpx.get(f"{instance.api}/api/twins/tank/tank-1", timeout=10)
        return answer.status_code == 200 and answer.json()["outputs"]["volume"] == 1.5

    eventually(stepped, "the tank steps")
    client.close()
    after = {item["name"]: item["pid"] for item in json.loads(instance.run("status", "--json"))["items"]}
    assert after["worker:incubator"] == before["worker:incubator"]
    assert "worker:tank" in after
    types = {item["type"]: item for item in json.loads(instance.run("types", "--json"))["items"]}
    assert {"incubator", "tank"} <= types.keys()


@pytest.mark.slow
def test_roles_that_are_killed_are_back_within_four_seconds(instance: Instance) -> None:
    def up() -> dict[str, int]:
        roles = json.loads(instance.run("status", "--json"))["items"]
        return {item["name"]: item["pid"] for item in roles if item["up"]}

    before = up()
    for name in ("bridge:mqtt", "sink:timeseries", "api", "worker:incubator"):
        os.kill(before[name], signal.SIGKILL)
        killed_s = time.monotonic()
        eventually(lambda name=name: up().get(name, before[name]) != before[name], f"{name} is up again", 8)
        assert time.monotonic() - killed_s < 6, name  # asking takes up to 2 s
    eventually(lambda: is_ready(instance), "ready again", 30)
