"""`/metrics` and `/healthz` of a role."""

import urllib.error
import urllib.request

import pytest

from infra.metrics import MetricsServer, RoleMetrics, lag_in, new_registry
from infra.scraping import ChildMetrics, exposition_at
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
