"""`/metrics` and `/healthz` of a role."""

import contextlib
import socket
import threading
import urllib.error
import urllib.request

import pytest
from prometheus_client import Counter

from infra.metrics import MetricsServer, RoleMetrics, lag_in, new_registry
from infra.scraping import ChildMetrics, exposition_at, record_counters
from schemas.errors import SetupError


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_role_tells_its_lag_and_whether_it_is_ready() -> None:
    registry = new_registry()
    metrics = RoleMetrics(registry, "bridge:mqtt", lambda: 17)
    healthy = [False]
    with MetricsServer(registry, lambda: healthy[0]) as server:
        assert _get(server.port, "/healthz")[0] == 503
        healthy[0] = True
        metrics.set_ready(ready=True)
        assert _get(server.port, "/healthz") == (200, '{"ready": true}\n')
        status, text = _get(server.port, "/metrics")
        assert status == 200
        assert 'twinstream_ready{role="bridge:mqtt"} 1.0' in text
        assert lag_in(text, "bridge:mqtt") == 17
        assert lag_in(text, "api") is None
        assert _get(server.port, "/etc/passwd")[0] == 404


def test_a_role_without_lag_tells_none() -> None:
    registry = new_registry()
    RoleMetrics(registry, "api")
    with MetricsServer(registry, lambda: True) as server:
        assert lag_in(_get(server.port, "/metrics")[1], "api") is None


def test_a_taken_port_is_one_clear_line() -> None:
    with (
        MetricsServer(new_registry(), lambda: True) as server,
        pytest.raises(SetupError, match=r"choose another metrics\.port"),
        MetricsServer(new_registry(), lambda: True, port=server.port),
    ):
        pass


def test_a_parent_shows_the_figures_of_its_children() -> None:
    parent, one, two = new_registry(), new_registry(), new_registry()
    RoleMetrics(one, "worker:a", lambda: 1).set_ready(ready=True)
    RoleMetrics(two, "worker:b", lambda: 2)
    RoleMetrics(parent, "worker")
    with (
        MetricsServer(one, lambda: True) as first,
        MetricsServer(two, lambda: True) as second,
        MetricsServer(parent, lambda: True) as server,
    ):
        children = [first.port, second.port, 1]
        parent.register(ChildMetrics(lambda: children))
        text = exposition_at(server.port)
        assert text is not None
        assert (lag_in(text, "worker:a"), lag_in(text, "worker:b")) == (1, 2)
        assert 'twinstream_ready{role="worker:a"} 1.0' in text
        assert 'twinstream_ready{role="worker"} 0.0' in text
        types = [line for line in text.splitlines() if line.startswith("# TYPE ")]
        assert len(types) == len(set(types))


def test_records_of_several_workers_are_added_up_by_type_and_outcome() -> None:
    registries = [new_registry() for _ in range(3)]
    for registry, type_name, late in zip(registries, ("a", "a", "b"), (1, 2, 5), strict=True):
        RoleMetrics(registry, f"worker:{type_name}")
        records = Counter("twinstream_records", "Records.", ["type", "outcome"], registry=registry)
        records.labels(type_name, "late").inc(late)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(MetricsServer(registry, lambda: True)) for registry in registries]
        text = record_counters([1, *(server.port for server in servers)]).decode()
    figures = [line for line in text.splitlines() if not line.startswith("#")]
    assert figures == [
        'twinstream_records_total{outcome="late",type="a"} 3.0',
        'twinstream_records_total{outcome="late",type="b"} 5.0',
    ]
    assert record_counters([]) == b""


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
        b"\x00\x00garbage\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\na{b c d",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\xff",
        b"",
    ],
)
def test_who_breaks_off_or_speaks_otherwise_does_not_answer(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        assert exposition_at(listener.getsockname()[1]) is None
        serving.join()
