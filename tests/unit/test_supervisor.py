"""The supervisor with real child processes."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from infra.registry import ChildView
from infra.settings import Settings
from infra.settings_file import write_private
from infra.supervisor.lifeline import PARENT_VARIABLE
from infra.supervisor.process import ProcessRunner, child_environment
from infra.supervisor.step_mark import StepMark, mark_path, take_mark
from infra.supervisor.supervisor import Child, Supervisor
from schemas.errors import SetupError


class Nursery:
    """A supervisor, what it told, and how to make children."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.said: list[str] = []
        self.views: tuple[ChildView, ...] = ()
        self.supervisor = Supervisor(tell=self.told.append, changed=self._changed, stop_timeout_s=2.0)

    def _changed(self, views: tuple[ChildView, ...]) -> None:
        self.views = views

    def child(self, name: str, code: str, *, mark: Path | None = None, argv: tuple[str, ...] | None = None) -> Child:
        command = argv or (sys.executable, "-c", textwrap.dedent(code))

        def run() -> ProcessRunner:
            env = {**os.environ, PARENT_VARIABLE: str(os.getpid()), "PYTHONPATH": str(Path(__file__).parents[2])}
            return ProcessRunner(command, env=env, error_log=self.folder / f"{name}.err", say=self.said.append)

        return Child(name, run, mark)

    def view(self, name: str) -> ChildView:
        return next(view for view in self.views if view.name == name)

    async def until_said(self, text: str, count: int = 1, timeout_s: float = 20.0) -> None:
        await self.until(lambda: self.said.count(text) >= count, timeout_s)

    @staticmethod
    async def until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():  # noqa: ASYNC110 - another process is watched
                await asyncio.sleep(0.01)


@pytest.fixture
async def nursery(tmp_path: Path) -> AsyncIterator[Nursery]:
    nursery = Nursery(tmp_path)
    async with nursery.supervisor:
        yield nursery


OBEDIENT = "import signal; print('up', flush=True); signal.pause()"
DEAF = """
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print('up', flush=True)
    while True: signal.pause()
"""


async def test_a_killed_child_is_up_again_within_four_seconds_and_the_others_go_on(nursery: Nursery) -> None:
    nursery.supervisor.add(nursery.child("a", OBEDIENT))
    nursery.supervisor.add(nursery.child("b", OBEDIENT))
    await nursery.until_said("up", 2)
    first, other = nursery.view("a").pid, nursery.view("b").pid
    assert first is not None
    await asyncio.sleep(1.1)
    os.kill(first, signal.SIGKILL)
    await nursery.until_said("up", 3, timeout_s=4.0)
    again = nursery.view("a")
    assert again.pid not in {None, first}
    assert again.restarts == 1
    assert nursery.view("b").pid == other
    assert any(f"a (pid {first}) died (signal SIGKILL)" in line for line in nursery.told)


async def test_stop_ends_every_child_also_one_that_does_not_listen(nursery: Nursery) -> None:
    nursery.supervisor.add(nursery.child("a", OBEDIENT))
    nursery.supervisor.add(nursery.child("deaf", DEAF))
    await nursery.until_said("up", 2)
    pids = [view.pid for view in nursery.views]
    async with asyncio.timeout(5.0):
        await nursery.supervisor.stop()
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)
    assert any("deaf does not stop" in line for line in nursery.told)


async def test_a_child_that_cannot_be_started_fails_the_first_start(nursery: Nursery) -> None:
    nursery.supervisor.add(nursery.child("a", "", argv=("/nonexistent/program",)))
    with pytest.raises(SetupError, match="No such file"):
        await nursery.supervisor.first_start("a")


async def test_a_role_that_says_why_it_cannot_work_is_known_by_its_exit_code(nursery: Nursery) -> None:
    nursery.supervisor.add(nursery.child("a", "print('kafka.partitions is wrong'); raise SystemExit(1)"))
    nursery.supervisor.add(nursery.child("b", "raise SystemExit(70)"))
    await nursery.until(lambda: all(view.restarts for view in nursery.views))
    assert nursery.supervisor.failed_as_expected() == ["a"]
    assert nursery.said == ["kafka.partitions is wrong"]


async def test_a_child_killed_three_times_by_the_same_record_is_stopped_with_an_alarm(nursery: Nursery) -> None:
    mark = mark_path(nursery.folder, "worker:poisoned")
    code = f"""
        import os, signal
        from pathlib import Path
        from infra.supervisor.step_mark import StepMark
        StepMark(Path({str(mark)!r})).at(2, 1234, 1240)
        os.kill(os.getpid(), signal.SIGSEGV)
    """
    nursery.supervisor.add(nursery.child("worker:poisoned", code, mark=mark))
    await nursery.until(lambda: nursery.view("worker:poisoned").phase == "alarmed", 30.0)
    assert "partition 2, offsets 1234 to 1239" in nursery.view("worker:poisoned").detail
    assert nursery.view("worker:poisoned").restarts == 2
    await nursery.supervisor.stop()


async def test_a_removed_child_is_forgotten_and_a_restarted_one_runs_what_is_new(nursery: Nursery) -> None:
    nursery.supervisor.add(nursery.child("a", OBEDIENT))
    await nursery.until_said("up")
    nursery.supervisor.restart(nursery.child("a", OBEDIENT.replace("up", "new")))
    await nursery.until_said("new")
    await nursery.supervisor.remove("a")
    assert nursery.supervisor.view() == ()
    await nursery.supervisor.remove("never added")


def test_a_mark_outlives_its_writer_and_is_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "w.mark"
    assert take_mark(path) is None
    mark = StepMark(path)
    assert take_mark(path) is None
    mark = StepMark(path)
    mark.at(3, 42, 50)
    assert take_mark(path) == (3, 42, 50)
    assert not path.exists()
    mark.close()


def test_a_child_gets_its_settings_from_the_private_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINSTREAM_KAFKA__PASSWORD", "hunter2")
    monkeypatch.setenv("TWINSTREAM_CACHE", "/cache")
    config = tmp_path / "config.yaml"
    write_private(Settings(), config)
    environment = child_environment(config)
    assert "hunter2" not in environment.values()
    assert environment["TWINSTREAM_CACHE"] == "/cache"
    assert environment["TWINSTREAM_CONFIG"] == str(config)


def test_a_child_ends_when_its_parent_is_killed() -> None:
    child = "from infra.supervisor.lifeline import follow_parent; follow_parent(); print('up', flush=True)\n"
    child += "import signal; signal.pause()"
    parent = f"""
import os, subprocess, sys, time
env = {{**os.environ, {PARENT_VARIABLE!r}: str(os.getpid())}}
child = subprocess.Popen([sys.executable, "-c", {child!r}], env=env, stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, cwd=root, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
        process.wait()
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(timeout=5)
    assert not psutil.pid_exists(pid)
