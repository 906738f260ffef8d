"""`twinstream bench bridge`, small: every contestant drains its backlog at a real broker."""

import json
import subprocess
import sys

import pytest
from servers.availability import unavailable

from infra.bench.peers import TELEGRAF
from infra.bench.servers.rabbitmq import find_rabbitmq
from infra.embedded.mqtt import find_mosquitto

MESSAGES = 3000

pytestmark = [pytest.mark.kafka, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("broker", "repeat", "names"),
    [
        ("mqtt", 2, ["twinstream", "twinstream-two-processes", "bare-paho"]),
        ("amqp", 1, ["twinstream", "bare-aio-pika"]),
    ],
)
def test_every_contestant_drains_its_backlog(broker: str, repeat: int, names: list[str]) -> None:
    there = {"mqtt": find_mosquitto, "amqp": find_rabbitmq}[broker]()
    if there is None:
        unavailable(broker, "its server is not installed: run scripts/servers")
    command = [sys.executable, "-m", "infra", "bench", "bridge", "--json", "--broker", broker, "--repeat", str(repeat)]
    ran = subprocess.run(
        [*command, "--messages", str(MESSAGES)], capture_output=True, text=True, timeout=280, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    results = report["results"]
    assert report["failed"] == []
    # Telegraf where `bench peers --install` could build it.
    wanted = names + ["telegraf"] * (broker == "mqtt" and TELEGRAF.is_there)
    assert sorted((row["job"], row["name"]) for row in results) == sorted((broker, name) for name in wanted)
    for row in results:
        # A second run must not get what lies at the broker for the first, nor one contestant what another does.
        assert [(run["records"], run["detail"].get("written_again", 0)) for run in row["repeats"]] == [
            (MESSAGES, 0)
        ] * repeat
        assert row["records_per_second"]["median"] > 0
        assert row["cpu_seconds_per_million"]["median"] > 0


def test_unknown_broker_is_refused() -> None:
    command = [sys.executable, "-m", "infra", "bench", "bridge", "--broker", "kafka"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "choose mqtt, amqp or both" in ran.stderr
