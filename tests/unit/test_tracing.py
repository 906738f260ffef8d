"""Whether and where spans are told, as OpenTelemetry's environment variables say; and what a tracer tells."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.collector import Collector
from support.instance import CLI, ROOT, eventually

from infra import tracing
from infra.otlp import _LAST_S
from infra.tracing import check_tracing, configured_by, opened_tracer
from schemas.errors import SetupError
from schemas.trace import NO_TRACER

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE, SPAN = PARENT.decode().split("-")[1:3]


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield running


def test_nobody_is_told_unless_somebody_asks() -> None:
    with opened_tracer("api") as tracer:
        assert tracer is NO_TRACER


def test_the_sdk_is_not_even_imported_unless_somebody_asks() -> None:
    code = "import sys, infra.roles.api, infra.roles.bridge, infra.roles.sink, infra.roles.type_worker as w;"
    code += "from infra.tracing import opened_tracer; opened_tracer('api').__enter__();"
    code += "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "OTEL_TRACES_EXPORTER"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "OTEL_SDK_DISABLED": "TRUE"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "OTEL_TRACES_EXPORTER": "none"}, ""),
        ({"OTEL_SERVICE_NAME": "site"}, ""),
    ],
)
def test_what_configures_the_exporter(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], found: str) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert configured_by() == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
    ],
)
def test_what_can_not_be_done_is_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(name, value)
    with pytest.raises(SetupError, match=f"{name} is {value}"):
        check_tracing()


@pytest.mark.parametrize("missing", ["opentelemetry.not_there", "not_there.at.all"])
def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(tracing, "NEEDED", (missing,))
    check_tracing()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(SetupError, match=r"extra traces.*opentelemetry-exporter-otlp-proto-http"):
        opened_tracer("api").__enter__()


def test_up_says_so_before_it_starts_anything(tmp_path: Path) -> None:
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    command = [*CLI, "up", "--data-dir", str(tmp_path), "--http-port", "0", "--mqtt-port", "0", "--kafka-port", "0"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | asked, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "OTEL_EXPORTER_OTLP_PROTOCOL is grpc" in done.stdout + done.stderr
    assert "starting" not in done.stdout


def test_a_span_is_told_once_it_ended(collector: Collector) -> None:
    with opened_tracer("worker:tank") as tracer:
        span = tracer.begin("step tank", "consumer", PARENT, {"twinstream.twin": "t", "empty": ""}, 1_000)
        never = tracer.begin("step tank", "consumer", PARENT, {})
        assert span is not None
        assert never is not None
        span.add({"http.route": "/api"})
        span.end()
    (told,) = eventually(lambda: collector.spans, "a span")
    assert (told.name, told.trace, told.parent, told.kind) == ("step tank", TRACE, SPAN, 5)
    assert span.traceparent == f"00-{TRACE}-{told.span}-01".encode()
    assert (told.service, told.role) == ("twinstream", "worker:tank")
    assert told.attributes == {"twinstream.twin": "t", "http.route": "/api"}


def test_the_service_is_called_as_the_environment_says(monkeypatch: pytest.MonkeyPatch, collector: Collector) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "plant-north")
    with opened_tracer("api") as tracer:
        span = tracer.begin("api GET", "server", PARENT, {})
        assert span is not None
        span.end()
    (told,) = eventually(lambda: collector.spans, "a span")
    assert told.service == "plant-north"


@pytest.mark.parametrize(("sampler", "argument"), [("always_off", ""), ("traceidratio", "0.0")])
def test_the_sampler_is_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, collector: Collector, sampler: str, argument: str
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    with opened_tracer("api") as tracer:
        assert tracer.begin("api GET", "server", PARENT, {}) is None
    assert collector.spans == []


def test_what_the_sender_does_not_sample_is_not_told(collector: Collector) -> None:
    with opened_tracer("api") as tracer:
        assert tracer.begin("api GET", "server", PARENT[:-1] + b"0", {}) is None
    assert collector.spans == []


def test_a_collector_that_never_answers_keeps_no_role_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system accepts for it
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with opened_tracer("api") as tracer:
            span = tracer.begin("api GET", "server", PARENT, {})
            assert span is not None
            span.end()
            ending_s = time.monotonic()
        elapsed_s = time.monotonic() - ending_s
        silent.settimeout(1)
        silent.accept()[0].close()  # it was asked
    assert elapsed_s < _LAST_S + 1
