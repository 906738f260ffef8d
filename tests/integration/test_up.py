"""A whole instance on embedded servers, as a user starts, uses, hurts and stops it."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from paho.mqtt import publish

from infra.registry import Registry
from infra.status import status_of

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
ANY_PORTS = ("--http-port", "0", "--mqtt-port", "0", "--kafka-port", "0")
ROLES = {"kafka", "mqtt", "documents", "bridge:mqtt", "sink:timeseries", "sink:metadata", "api", "worker"}


POISON_YAML = """
name: poison
version: 1.0.0
inputs: {x: {}}
pipeline:
  - {name: a, step: "a.py:step", outputs: [y], requests: {end: "a.py:end"}}
requests:
  end: {}
outputs:
  timeseries: {fields: [y]}
"""
POISON_CODE = '''"""Ends the process of its worker at a request."""

import os


def step(x: float) -> float:
    """Do no harm."""
    return x


def end() -> None:
    """Be gone."""
    os._exit(3)
'''


class Running:
    """A `twinstream up` in a process of its own."""

    def __init__(self, data_dir: Path, **variables: str) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra", "up", "--json", "--data-dir", str(data_dir), *ANY_PORTS],
            cwd=ROOT,
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict[str, Any]] = []
        self.urls: dict[str, str] = {}

    def until_ready(self) -> None:
        """Wait for the line with `ready`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == "ready":
                self.urls = self.events[-1]["urls"]
                return
        pytest.fail(f"ended with {self.process.wait()} before it was ready: {self.events}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Ask it to end; returns how long that took."""
        began_s = time.monotonic()
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=30)
        self.events += [json.loads(line) for line in output.splitlines()]
        return time.monotonic() - began_s

    def cli(self, *words: str, code: int = 0) -> Any:
        """A client command against this instance, with `--json`."""
        done = subprocess.run(
            [sys.executable, "-m", "infra", *words, "--data-dir", str(self.data_dir), "--json"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def roles(self) -> dict[str, dict[str, Any]]:
        """What `status` lists, by name."""
        return {role["name"]: role for role in self.cli("status")["items"]}


def _until(found: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    deadline_s = time.monotonic() + timeout_s
    while not (value := found()):
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.1)
    return value


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own address
        return json.loads(answer.read())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    instance = Running(tmp_path_factory.mktemp("up"))
    try:
        instance.until_ready()
        yield instance
    finally:
        if instance.process.poll() is None:
            instance.stop()


def _publish(
    running: Running, twin: str, payload: dict[str, Any], type_name: str = "tank", what: str = "telemetry"
) -> None:
    host, port = running.urls["MQTT"].removeprefix("mqtt://").split(":")
    publish.single(f"twins/{type_name}/{twin}/{what}", json.dumps(payload), qos=1, hostname=host, port=int(port))


def test_everything_is_up_and_every_port_is_told(running: Running) -> None:
    urls = [event for event in running.events if event["event"] == "url"]
    assert {event["name"] for event in urls} >= {"API", "MQTT", "Kafka", "documents"}
    roles = running.roles()
    assert set(roles) == ROLES
    assert all(role["up"] and role["ready"] for role in roles.values())
    assert any("AMQP bridge is off" in event.get("text", "") for event in running.events)


def test_files_of_a_running_instance_are_its_owners_alone(running: Running) -> None:
    files = [path for path in (running.data_dir / "run").iterdir() if path.is_file()]
    assert any(path.name == "config.yaml" for path in files)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_second_instance_on_the_same_data_directory_is_refused_in_one_line(running: Running) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra", "up", "--data-dir", str(running.data_dir), *ANY_PORTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "is used by another instance" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_taken_port_is_refused_in_one_line_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "infra", "up", "--data-dir", str(tmp_path), *ANY_PORTS, "--kafka-port", port],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port} for Kafka is taken" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "kafka").exists()


def test_a_type_is_deployed_and_stepped_and_its_outputs_reach_both_stores(running: Running) -> None:
    deployed = running.cli("deploy", "tests/types/tank")
    assert (deployed["type"], deployed["deployed"]) == ("tank", True)
    _until(lambda: running.roles().get("worker:tank", {}).get("ready"), 60)
    definition = _get(f"{running.urls['API']}/api/types/tank")["definition"]
    payload = {name: _middle(declared) for name, declared in definition["inputs"].items()}
    _publish(running, "tank-1", payload)
    twin = _until(lambda: next(iter(running.cli("twins", "list", "tank")["items"]), None))
    assert twin["id"] == "tank-1"
    field = definition["outputs"]["timeseries"]["fields"][0]
    address = f"{running.urls['API']}/api/twins/tank/tank-1/series?field={field}"
    assert len(_until(lambda: _get(address)["value"])) == 1
    changed = running.cli("twins", "create", "tank", "tank-2", "--tag", "room=lab")
    assert changed["tags"] == {"room": "lab"}
    _publish(running, "tank-1", {"nonsense": 1})
    letter = _until(lambda: next(iter(running.cli("deadletters", "list", "--type", "tank")["items"]), None))
    assert letter["reason"] == "missing_field"
    assert running.cli("deadletters", "show", letter["id"])["id"] == letter["id"]


def _middle(declared: dict[str, Any]) -> float | bool | int:
    low, high = declared["range"] or (0.0, 1.0)
    return {"bool": False, "int": int((low + high) / 2)}.get(declared["type"], (low + high) / 2)


@pytest.mark.parametrize("name", ["bridge:mqtt", "sink:metadata", "sink:timeseries", "api", "worker:tank", "worker"])
def test_a_killed_role_is_up_within_four_seconds_and_the_others_go_on(running: Running, name: str) -> None:
    before = running.roles()
    kills = 1
    while (took_s := _until_replaced(running, name)) >= 4.0 and kills < 3:  # another process may have had the CPU
        kills += 1
        time.sleep(2.0)
    assert took_s < 4.0
    after = running.roles()
    related = {name, "worker:tank"} if name == "worker" else {name}
    others = set(before) - related
    assert {role: after[role]["pid"] for role in others} == {role: before[role]["pid"] for role in others}
    assert after[name]["restarts"] == before[name]["restarts"] + kills
    _until(lambda: running.cli("status")["ready"], 60)


def _until_replaced(running: Running, name: str) -> float:
    """Kill a role; how many seconds until another process does its work."""
    registry = Registry(running.data_dir)

    def pid() -> int | None:
        return next((role.pid for role in status_of(registry).roles if role.name == name and role.up), None)

    killed = _until(pid)
    os.kill(killed, signal.SIGKILL)
    began_s = time.monotonic()
    _until(lambda: pid() not in {None, killed}, 20)
    return time.monotonic() - began_s


def test_the_url_of_the_api_is_enough_for_status_and_for_commands_about_the_log(
    running: Running, tmp_path: Path
) -> None:
    def far(*words: str) -> Any:
        argv = [sys.executable, "-m", "infra", *words, "--url", running.urls["API"], "--json"]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
        return json.loads(done.stdout)

    assert {role["name"] for role in far("status")["items"]} == set(running.roles())
    assert far("tail", "twinstream.logs", "--from-start", "--limit", "1")["topic"] == "twinstream.logs"
    assert far("deploy", str(ROOT / "tests" / "types" / "tank"))["deployed"]
    assert list(tmp_path.iterdir()) == []


def test_a_broker_that_is_away_ends_no_role_and_status_answers(running: Running) -> None:
    before = running.roles()
    os.kill(before["kafka"]["pid"], signal.SIGSTOP)
    try:
        began_s = time.monotonic()
        during = running.roles()
        assert time.monotonic() - began_s < 5.0
        assert [name for name, role in during.items() if not role["up"]] == ["kafka"]
        time.sleep(3.0)
        began_s = time.monotonic()
        assert _get(f"{running.urls['API']}/healthz") == {"status": "ok"}
        assert _get(f"{running.urls['API']}/api/types")["items"]
        with contextlib.suppress(urllib.error.HTTPError):  # 503 once it has noticed
            assert _get(f"{running.urls['API']}/readyz")["status"] == "ready"
        assert time.monotonic() - began_s < 2.0
    finally:
        os.kill(before["kafka"]["pid"], signal.SIGCONT)
    after = running.roles()
    for found in (during, after):
        assert {name: role["pid"] for name, role in found.items()} == {
            name: role["pid"] for name, role in before.items()
        }


def test_tail_shows_the_records_of_a_topic(running: Running) -> None:
    record = running.cli("tail", "twinstream.deadletter", "--from-start", "--limit", "1")
    assert record["value"]["reason"] == "missing_field"
    line = running.cli("tail", "twinstream.logs", "--from-start", "--limit", "1")
    assert line["key"] == line["value"]["role"]
    assert set(line["value"]) >= {"time", "level", "event", "role", "pid", "logger"}


def test_a_type_that_kills_its_worker_three_times_at_one_record_is_stopped_until_it_is_mended(
    running: Running, tmp_path: Path
) -> None:
    (tmp_path / "twin.yaml").write_text(POISON_YAML)
    (tmp_path / "a.py").write_text(POISON_CODE)
    running.cli("deploy", str(tmp_path))
    _publish(running, "p-1", {"x": 1}, type_name="poison")
    _until(lambda: running.cli("twins", "list", "poison")["items"], 60)
    _publish(running, "p-1", {}, type_name="poison", what="requests/end")
    _publish(running, "p-1", {"x": 2}, type_name="poison")
    stopped = _until(lambda: _alarm(running.roles().get("worker:poison")), 120)
    assert (stopped["up"], stopped["restarts"]) == (False, 2)
    assert running.cli("status")["items"]
    (tmp_path / "a.py").write_text(POISON_CODE.replace("os._exit(3)", "pass"))
    running.cli("deploy", str(tmp_path))
    _until(lambda: running.cli("twins", "list", "poison")["items"][0]["outputs"]["y"] == 2, 60)
    running.cli("undeploy", "poison")


def _alarm(role: dict[str, Any] | None) -> dict[str, Any] | None:
    return role if role and "died 3 times at partition" in role["detail"] else None


def test_stop_is_clean_and_a_second_start_finds_everything_again(running: Running) -> None:
    processes = [psutil.Process(role["pid"]) for role in running.roles().values()]
    assert running.stop() < 10.0
    assert running.process.returncode == 0
    assert not any(process.is_running() for process in processes)
    assert not list((running.data_dir / "run").glob("*.json"))
    assert not (running.data_dir / "run" / "config.yaml").exists()
    again = Running(running.data_dir)
    try:
        again.until_ready()
        assert [item["type"] for item in again.cli("types")["items"]] == ["tank"]
        assert {item["id"] for item in again.cli("twins", "list")["items"]} == {"tank-1", "tank-2"}
        definition = _get(f"{again.urls['API']}/api/types/tank")["definition"]
        field = definition["outputs"]["timeseries"]["fields"][0]
        assert len(_get(f"{again.urls['API']}/api/twins/tank/tank-1/series?field={field}")["value"]) == 1
        again.cli("undeploy", "tank")
        _until(lambda: "worker:tank" not in again.roles())
    finally:
        assert again.stop(signal.SIGINT) < 10.0
    assert again.process.returncode == 0


def test_secrets_are_shown_nowhere_and_an_instance_that_still_starts_stops_cleanly(tmp_path: Path) -> None:
    secrets = {name: f"{name}-s3cret-w0rd" for name in ("token", "url", "broker")}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        instance = Running(
            tmp_path,
            TWINSTREAM_TIMESERIES__URL=f"http://me:{secrets['url']}@127.0.0.1:{port}",
            TWINSTREAM_TIMESERIES__TOKEN=secrets["token"],
            TWINSTREAM_AMQP__URL=f"amqp://me:{secrets['broker']}@127.0.0.1:{port}",
        )
        try:
            _until(lambda: "bridge:amqp" in _names(tmp_path) and instance.roles()["api"]["ready"], 90)
            shown = json.dumps(instance.cli("status"))
            processes = psutil.Process(instance.process.pid).children(recursive=True)
            shown += "".join(" ".join(process.cmdline()) for process in processes)
            assert not instance.cli("status")["ready"]
        finally:
            assert instance.stop() < 10.0
    assert instance.process.returncode == 0
    shown += json.dumps(instance.events)
    shown += "".join(path.read_text(errors="replace") for path in (tmp_path / "logs").iterdir())
    assert "bridge:amqp" in shown
    assert [name for name, secret in secrets.items() if secret in shown] == []
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size < 1_000_000]
    holding = [path for path in kept if any(secret.encode() in path.read_bytes() for secret in secrets.values())]
    assert holding == []


def _names(data_dir: Path) -> set[str]:
    return {json.loads(path.read_text())["name"] for path in (data_dir / "run").glob("*.json")}
