"""A running instance whose Kafka is killed under load: all telemetry is processed once, and no reader stands still."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from support.instance import ROOT, Instance, eventually
from support.transactions import until_nothing_hangs

from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

_TWINS = [f"tank-{number}" for number in range(16)]
_ROUND_S = 0.2
_KILLS = 2
_LOAD_S = 2.0
_SETTLED_S = 45.0


class Load:
    """Every twin reports every `_ROUND_S`, at times that are remembered, until it is stopped."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("mqtt://").split(":")
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.connect(host, int(port))
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._report)
        self.times_ns: list[int] = []

    def start(self) -> None:
        self._client.loop_start()
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait until the broker has everything."""
        self._enough.set()
        self._thread.join(30)
        self._client.disconnect()
        self._client.loop_stop()

    def _report(self) -> None:
        while not self._enough.wait(_ROUND_S):
            time_ns = time.time_ns()
            counted = {"time": time_ns, "seq": len(self.times_ns), "boot": "a"}
            payload = json.dumps({**counted, "level_m": 1.5, "inflow": 0.1, "outflow": 0.1})
            self.times_ns.append(time_ns)
            sent = [self._client.publish(f"twins/tank/{twin}/telemetry", payload, qos=1) for twin in _TWINS]
            for message in sent:
                message.wait_for_publish(20)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with Instance(tmp_path) as running:
        running.run("deploy", str(ROOT / "tests" / "types" / "tank"))
        yield running


def _kafka(instance: Instance) -> dict[str, Any]:
    roles = json.loads(instance.run("status", "--json"))["items"]
    found: dict[str, Any] = next(role for role in roles if role["name"] == "kafka")
    return found


def _times_ns(instance: Instance, twin: str) -> list[int]:
    answer = httpx.get(f"{instance.api}/api/twins/tank/{twin}/series", params={"field": "level_m"}, timeout=10)
    return [] if answer.status_code == 404 else list(answer.json()["time_ns"])


async def _nothing_hangs(bootstrap_servers: str) -> None:
    async with LogAdmin(KafkaOptions(bootstrap_servers)) as admin:
        topics = await admin.topics()
    # Workers may be in the middle of a transaction: it ends within its time-out.
    await until_nothing_hangs(bootstrap_servers, topics | {"__consumer_offsets"}, _SETTLED_S)


def test_all_telemetry_around_two_kills_of_kafka_is_readable_and_nothing_hangs(instance: Instance) -> None:
    load = Load(instance.urls["MQTT"])
    load.start()
    try:
        eventually(lambda: _times_ns(instance, _TWINS[0]), "the first record is stored", 60)
        for _ in range(_KILLS):
            time.sleep(_LOAD_S)
            before = _kafka(instance)
            os.kill(before["pid"], signal.SIGKILL)
            eventually(lambda old=before["pid"]: (role := _kafka(instance))["ready"] and role["pid"] != old, "up", 90)
        mended = len(load.times_ns)
        eventually(lambda: _times_ns(instance, _TWINS[0])[mended:], "what came after the second kill is stored", 45)
        time.sleep(_LOAD_S)
    finally:
        load.stop()
    for twin in _TWINS:
        eventually(
            lambda twin=twin: len(_times_ns(instance, twin)) >= len(load.times_ns),
            f"all of {twin} is stored",
            _SETTLED_S,
        )
        assert _times_ns(instance, twin) == load.times_ns
        assert instance.get(f"/api/twins/tank/{twin}")["event_time_ns"] == load.times_ns[-1]
    asyncio.run(_nothing_hangs(instance.urls["Kafka"]))
