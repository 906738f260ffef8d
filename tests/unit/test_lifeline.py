"""How processes of ours end: with what they started, and at once."""

import contextlib
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from infra.roles import type_worker

LEAVING = """
import subprocess, sys, threading, time
from infra.supervisor.lifeline import leave
threading.Thread(target=time.sleep, args=(60,)).start()
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
leave(3)
"""


@pytest.mark.timeout(30)
def test_who_leaves_waits_for_no_thread_and_leaves_no_child_behind() -> None:
    done = subprocess.run([sys.executable, "-c", LEAVING], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (3, "")
    with contextlib.suppress(psutil.NoSuchProcess):
        child = psutil.Process(int(done.stdout))
        while child.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)


def test_a_worker_that_is_told_to_stop_while_it_compiles_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str | int] = []
    monkeypatch.setattr(type_worker, "leave", ended.append)
    presence: Any = SimpleNamespace(withdraw=lambda: ended.append("withdrawn"))
    before = signal.getsignal(signal.SIGTERM)
    try:
        type_worker._end_when_told(presence)  # noqa: SLF001 - what `run` begins with
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended == ["withdrawn", 0]
