"""Run files and the lock of a data directory."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from infra.instance_lock import InstanceLock
from infra.registry import SUPERVISOR, ChildView, Presence, Registry
from schemas.clock import ManualClock
from schemas.errors import SetupError


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


def _sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def test_a_run_file_says_who_and_where_and_is_its_owners_alone(registry: Registry) -> None:
    presence = Presence(registry, "bridge:mqtt", clock=ManualClock(5))
    presence.change(ready=True, port=1234, url="mqtt://h:1")
    (entry,) = registry.read()
    assert (entry.name, entry.pid, entry.port, entry.started_ns) == ("bridge:mqtt", os.getpid(), 1234, 5)
    assert entry.alive()
    path = registry.folder / "bridge-mqtt.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert registry.find("bridge:mqtt") == entry
    presence.withdraw()
    assert registry.read() == []


def test_a_process_that_died_is_not_alive_and_its_file_is_cleared(registry: Registry) -> None:
    process = _sleeper()
    Presence(registry, "api", pid=process.pid)
    assert registry.find("api") is not None
    process.kill()
    process.wait()
    assert registry.find("api") is None
    assert len(registry.read()) == 1
    registry.clear()
    assert registry.read() == []


def test_a_pid_that_another_process_took_over_is_not_alive(registry: Registry) -> None:
    presence = Presence(registry, "api")
    taken_over = presence.entry.__class__(
        name="api", pid=os.getpid(), process_started_s=presence.entry.process_started_s - 60, started_ns=0
    )
    assert presence.entry.alive()
    assert not taken_over.alive()


def test_two_processes_of_one_name_have_a_file_each(registry: Registry) -> None:
    process = _sleeper()
    try:
        Presence(registry, "worker:tank", pid=process.pid)
        Presence(registry, "worker:tank")
        assert {entry.pid for entry in registry.read()} == {process.pid, os.getpid()}
    finally:
        process.kill()
        process.wait()


def test_a_damaged_run_file_is_passed_over(registry: Registry) -> None:
    Presence(registry, "api")
    (registry.folder / "bridge-mqtt.json").write_text("{")
    assert [entry.name for entry in registry.read()] == ["api"]


def test_a_role_that_is_kept_running_and_not_ready_is_missing(registry: Registry) -> None:
    supervisor = Presence(registry, SUPERVISOR)
    supervisor.change(
        children=(
            ChildView(name="api", pid=os.getpid(), phase="running", restarts=0),
            ChildView(name="bridge:mqtt", pid=None, phase="waiting", restarts=3, detail="died (signal SIGKILL)"),
            ChildView(name="worker:bad", pid=None, phase="alarmed", restarts=2, detail="stopped"),
        )
    )
    api = Presence(registry, "api")
    assert registry.unready() == {"api": "starting", "bridge:mqtt": "died (signal SIGKILL)"}
    api.change(detail="waiting for Kafka")
    assert registry.unready()["api"] == "waiting for Kafka"
    api.change(ready=True)
    assert list(registry.unready()) == ["bridge:mqtt"]


def test_a_data_directory_serves_one_instance_and_says_who_has_it(tmp_path: Path) -> None:
    with (
        InstanceLock(tmp_path),
        pytest.raises(SetupError, match=rf"used by another instance \(pid {os.getpid()}\)"),
        InstanceLock(tmp_path),
    ):
        pass
    with InstanceLock(tmp_path):
        pass


def test_the_lock_of_a_killed_instance_is_free(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from infra.instance_lock import InstanceLock
import time
with InstanceLock(Path({str(tmp_path)!r})):
    print("locked", flush=True)
    time.sleep(60)
"""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(SetupError, match="used by another instance"), InstanceLock(tmp_path):
            pass
        process.kill()
        process.wait()
    with InstanceLock(tmp_path):
        pass
