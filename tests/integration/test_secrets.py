"""Secrets that are planted everywhere come out nowhere: logs, metrics, status, answers, topics, process lists."""

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import pytest
import yaml
from servers.kafka import SecuredKafka
from servers.mosquitto import SecuredMosquitto
from support.instance import CLI, ROOT

from infra.registry import Registry
from schemas.topics import DEADLETTER, LOGS, TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.writer import LogWriter

pytestmark = [pytest.mark.kafka, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(180)]

SECRETS = {
    "mqtt password in the URL": "pl4nted-mqtt/@:pw",
    "amqp password": "pl4nted-amqp-pw",
    "influx token in the environment": "pl4nted-influx-token",
    "mongo password in the URL": "pl4nted-mongo-pw",
    "bearer of a request": "pl4nted-bearer",
}


class Leaky(BaseHTTPRequestHandler):
    """A store that refuses whoever comes, and says with what they came."""

    def do_GET(self) -> None:
        said = {"code": "unauthorized", "message": f"no access with {self.headers.get('authorization')} at {self.path}"}
        body = json.dumps(said).encode()
        self.send_response(500)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - as the server calls it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        """Say nothing."""


@pytest.fixture(scope="module")
def leaky() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Leaky)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def forms(secret: str) -> set[str]:
    """How a secret may be written."""
    return {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode(), json.dumps(secret)[1:-1]}


def leaks(text: str) -> set[str]:
    return {
        name
        for name, secret in {**SECRETS, "kafka": SecuredKafka.password}.items()
        if any(f in text for f in forms(secret))
    }


@pytest.fixture(scope="module")
def said(
    leaky: str,
    secured_kafka: SecuredKafka,
    secured_mosquitto: SecuredMosquitto,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """Everything that a plant says in which nothing works, by place."""
    folder = tmp_path_factory.mktemp("plant")
    data_dir = folder / "data"
    mqtt = quote(SECRETS["mqtt password in the URL"], safe="")
    settings: dict[str, Any] = {
        "kafka": {
            "bootstrap_servers": secured_kafka.secured_servers,
            "tls": True,
            "username": secured_kafka.username,
            "password": secured_kafka.password,
            "ca_file": str(secured_kafka.ca_file),
        },
        "mqtt": {"url": secured_mosquitto.url.replace("://", f"://device:{mqtt}@")},
        "amqp": {"url": "amqp://127.0.0.1:1/", "username": "x", "password": SECRETS["amqp password"]},
        "timeseries": {"url": leaky, "org": "o", "bucket": "b"},
        "metadata": {
            "url": f"mongodb://user:{SECRETS['mongo password in the URL']}@127.0.0.1:1/?serverSelectionTimeoutMS=500"
        },
        "logs": {"level": "debug"},
    }
    (folder / "site.yaml").write_text(yaml.safe_dump(settings))
    (folder / "site.yaml").chmod(0o600)
    asyncio.run(_something_to_store(secured_kafka))
    environment = {**os.environ, "TWINSTREAM_TIMESERIES__TOKEN": SECRETS["influx token in the environment"]}
    command = [*CLI, "up", "-c", str(folder / "site.yaml"), "--data-dir", str(data_dir), "--http-port", "0"]
    found: dict[str, str] = {}
    output = (folder / "output").open("wb")
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
    )
    try:
        registry = Registry(data_dir)
        url = _until_up(registry, process)
        time.sleep(6)  # so that everything has failed more than once
        found["process list"] = "\n".join(
            " ".join(child.cmdline()) for child in [psutil.Process(process.pid), *_children(process.pid)]
        )
        found |= _asked(url)
        for entry in registry.read():
            if entry.port:
                found[f"metrics of {entry.name}"] = httpx.get(f"http://127.0.0.1:{entry.port}/metrics", timeout=10).text
        for words in (["status"], ["status", "--json"], ["deadletters", "list", "--json"], ["types", "--json"]):
            done = subprocess.run(
                [*CLI, *words, "--data-dir", str(data_dir)],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                timeout=60,
                check=False,
            )
            found[" ".join(words)] = (done.stdout + done.stderr).decode()
        checked = [*CLI, "check", "-c", str(folder / "site.yaml"), "--json"]
        found["check"] = subprocess.run(
            checked, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False
        ).stdout.decode()
        found |= asyncio.run(_topics(secured_kafka))
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        output.close()
    found["console"] = (folder / "output").read_text(errors="replace")
    for path in data_dir.rglob("*"):
        if path.is_file() and path != registry.config:
            found[str(path.relative_to(data_dir))] = path.read_bytes().decode("latin-1")
    return found


async def _something_to_store(kafka: SecuredKafka) -> None:
    options, topic = KafkaOptions(kafka.bootstrap_servers), TypeTopics("planted").timeseries
    async with LogAdmin(options) as admin, LogWriter(options) as writer:
        await admin.ensure_topics([topic], partitions=1)
        await (await writer.send(topic, None, b"planted,twin=a f=1 1\n"))


def _until_up(registry: Registry, process: "subprocess.Popen[bytes]") -> str:
    deadline_s = time.monotonic() + 90
    while time.monotonic() < deadline_s:
        assert process.poll() is None
        entry = registry.find("api")
        names = {one.name for one in registry.read()}
        if entry and entry.url and {"bridge:mqtt", "bridge:amqp", "sink:timeseries", "sink:metadata"} <= names:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{entry.url}/healthz", timeout=5).status_code == 200:
                    return entry.url
        time.sleep(0.2)
    pytest.fail("the plant did not come up")


def _children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def _asked(url: str) -> dict[str, str]:
    """Answers of the API, good and bad, to somebody who shows a secret."""
    bearer = SECRETS["bearer of a request"]
    headers = {"authorization": f"Bearer {bearer}", "cookie": f"session={bearer}"}
    found = {}
    with httpx.Client(base_url=url, headers=headers, timeout=20) as client:
        for path in (
            *("/api/status", "/api/instance", "/readyz", "/metrics", "/api/types", "/api/twins", "/api/deadletters"),
            *("/api/none", "/api/twins/box/a", "/api/types/none", "/api/twins/box/a/series/t", "/openapi.json"),
            *(f"/api/twins?token={bearer}", f"/api/status?access_token={bearer}"),
        ):
            answer = client.get(path)
            found[f"GET {path.partition('?')[0]} {'with a query' if '?' in path else ''}"] = (
                f"{answer.headers}\n{answer.text}"
            )
        answer = client.post(
            "/api/twins/box/a/requests/reset", content=b"{", headers={"content-type": "application/json"}
        )
        found["POST"] = answer.text
    return found


async def _topics(kafka: SecuredKafka) -> dict[str, str]:
    options = KafkaOptions(kafka.bootstrap_servers)
    found: dict[str, str] = {LOGS: "", DEADLETTER: ""}
    async with asyncio.timeout(30), Follower(options, topics=(LOGS, DEADLETTER)) as follower:
        while (records := await follower.read(2.0)) or not found[LOGS]:
            for record in records:
                found[record.topic] += (record.value or b"").decode(errors="replace") + "\n"
    return found


def test_something_was_said_of_every_failure(said: dict[str, str]) -> None:
    for name in ("bridge-mqtt", "bridge-amqp", "sink-timeseries", "sink-metadata", "api"):
        assert any(f"{name}.log" in place for place in said), name
    assert "Not authorized" in said["logs/bridge-mqtt.log"]
    assert "no access" in said["logs/sink-timeseries.log"]
    assert said[LOGS]
    assert "bridge:mqtt" in said["status --json"]


def test_no_planted_secret_comes_out_anywhere(said: dict[str, str]) -> None:
    found = {place: names for place, text in said.items() if (names := leaks(text))}
    assert found == {}


def test_the_test_would_see_a_leak() -> None:
    for secret in SECRETS.values():
        for form in forms(secret):
            assert leaks(f"x{form}y")
    assert not leaks(re.sub("pl4nted", "", "pl4nted".join(SECRETS)))
