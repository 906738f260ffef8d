"""`/metrics` and `/healthz` of a role."""

import urllib.error
import urllib.request

import pytest

from infra.metrics import MetricsServer, RoleMetrics, lag_in, new_registry
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
        assert lag_in(text) == 17
        assert _get(server.port, "/etc/passwd")[0] == 404


def test_a_role_without_lag_tells_none() -> None:
    registry = new_registry()
    RoleMetrics(registry, "api")
    with MetricsServer(registry, lambda: True) as server:
        assert lag_in(_get(server.port, "/metrics")[1]) is None


def test_a_taken_port_is_one_clear_line() -> None:
    with (
        MetricsServer(new_registry(), lambda: True) as server,
        pytest.raises(SetupError, match=r"choose another metrics\.port"),
        MetricsServer(new_registry(), lambda: True, port=server.port),
    ):
        pass
