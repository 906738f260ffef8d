"""What `status` says, from run files and the process table."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from infra.registry import SUPERVISOR, ChildView, Presence, Registry
from infra.status import SILENT, status_of

ROOT = Path(__file__).parents[2]
SERVING = """
from infra.metrics import MetricsServer, new_registry
with MetricsServer(new_registry(), bool) as server:
    print(server.port, flush=True)
    input()
"""


def _view(
    name: str, *, pid: int | None = None, phase: str = "running", restarts: int = 0, detail: str = ""
) -> ChildView:
    return ChildView(name=name, pid=pid, phase=phase, restarts=restarts, detail=detail)


def test_every_role_is_listed_up_or_not_with_pid_and_lag(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    supervisor = Presence(registry, SUPERVISOR)
    supervisor.change(
        children=(
            _view("api", pid=os.getpid()),
            _view("bridge:mqtt", phase="waiting", restarts=7, detail="died (signal SIGKILL)"),
        )
    )
    api = Presence(registry, "api")
    api.change(ready=True, port=1, url="http://127.0.0.1:8080")
    worker = Presence(registry, "worker")
    worker.change(ready=True, children=(_view("worker:tank", phase="alarmed", detail="stopped"),))
    found = status_of(registry, ask=lambda _: {1: 'twinstream_lag_records{role="api"} 42\n# EOF'})
    assert found.running
    assert not found.ready
    assert found.url == "http://127.0.0.1:8080"
    roles = {role.name: role for role in found.roles}
    assert set(roles) == {"api", "bridge:mqtt", "worker", "worker:tank"}
    assert (roles["api"].pid, roles["api"].up, roles["api"].ready, roles["api"].lag) == (os.getpid(), True, True, 42)
    assert (roles["bridge:mqtt"].pid, roles["bridge:mqtt"].up, roles["bridge:mqtt"].restarts) == (None, False, 7)
    assert roles["worker:tank"].detail == "stopped"


def test_a_role_that_listens_elsewhere_has_no_lag_and_is_up(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    presence = Presence(registry, "sink:metadata")
    presence.change(ready=True, port=1)
    (role,) = status_of(registry).roles
    assert role.up
    assert role.lag is None


def test_a_role_that_is_starting_may_be_slow_to_answer(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    presence = Presence(registry, "sink:metadata")
    presence.change(port=1)
    (role,) = status_of(registry, ask=lambda _: {1: None}).roles
    assert (role.up, role.ready) == (True, False)
    presence.change(ready=True)
    (role,) = status_of(registry, ask=lambda _: {1: None}).roles
    assert (role.up, role.ready) == (False, False)


def test_a_role_that_stands_still_does_not_count_as_up(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", SERVING]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as role:
        try:
            assert role.stdout is not None
            registry = Registry(tmp_path)
            Presence(registry, "api", pid=role.pid).change(ready=True, port=int(role.stdout.readline()))
            assert status_of(registry).ready
            role.send_signal(signal.SIGSTOP)
            began_s = time.monotonic()
            found = status_of(registry)
            assert time.monotonic() - began_s < 4.0
            assert (found.ready, found.roles[0].up, found.roles[0].pid) == (False, False, role.pid)
            assert found.roles[0].detail == SILENT
            role.send_signal(signal.SIGCONT)
            assert status_of(registry).roles[0].up
        finally:
            role.kill()


def test_an_empty_data_directory_runs_nothing(tmp_path: Path) -> None:
    found = status_of(Registry(tmp_path))
    assert not found.running
    assert found.roles == []
