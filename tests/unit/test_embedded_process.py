"""A server as a child process: what it says is kept, it stops when told, by force if need be."""

import signal
import sys
from pathlib import Path

import pytest

from infra.embedded.process import ChildProcess, ServerEndedError


def _child(tmp_path: Path, code: str, *, stop_timeout_s: float = 5.0) -> ChildProcess:
    log_path = tmp_path / "logs" / "child.log"
    return ChildProcess(
        "the child", [sys.executable, "-c", code], log_path=log_path, stop_timeout_s=stop_timeout_s, cwd=tmp_path
    )


_READY = "import pathlib, time; pathlib.Path('ready').touch(); time.sleep(60)"
_STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_READY}"


async def _is_ready(tmp_path: Path) -> bool:
    return (tmp_path / "ready").exists()


async def test_child_ends_on_sigterm(tmp_path: Path) -> None:
    async with _child(tmp_path, _READY) as child:
        await child.until_ready(lambda: _is_ready(tmp_path), 10)
        assert child.alive
    assert await child.wait() == -signal.SIGTERM
    assert not child.alive


async def test_stubborn_child_is_killed(tmp_path: Path) -> None:
    async with _child(tmp_path, _STUBBORN, stop_timeout_s=0.2) as child:
        await child.until_ready(lambda: _is_ready(tmp_path), 10)
    assert await child.wait() == -signal.SIGKILL


async def test_child_that_ends_while_starting_is_reported_with_its_last_words(tmp_path: Path) -> None:
    child = _child(tmp_path, "raise SystemExit('no disk')")
    async with child:
        with pytest.raises(
            ServerEndedError, match=r"the child ended with code 1 while starting: see .*child\.log"
        ) as end:
            await child.until_ready(lambda: _is_ready(tmp_path), 10)
    assert "no disk" in end.value.tail


async def test_child_that_never_gets_ready_is_reported(tmp_path: Path) -> None:
    async with _child(tmp_path, "import time; time.sleep(60)") as child:
        with pytest.raises(ServerEndedError, match="the child is not ready after 0 s"):
            await child.until_ready(lambda: _is_ready(tmp_path), 0.2)


async def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    async with _child(tmp_path, "") as child:
        assert await child.wait() == 0
        await child.stop()


async def test_log_of_earlier_starts_is_kept_until_it_is_large(tmp_path: Path) -> None:
    for word in ("first", "second"):
        async with _child(tmp_path, f"print('{word}')") as child:
            await child.wait()
    assert child.log_tail().split() == ["first", "second"]
    with child.log_path.open("ab") as log_file:
        log_file.truncate(11 * 1024 * 1024)
    async with _child(tmp_path, "print('third')") as child:
        await child.wait()
    assert child.log_tail().split() == ["third"]
    assert child.log_path.with_suffix(".log.1").stat().st_size == 11 * 1024 * 1024


async def test_program_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    child = ChildProcess("nobody", [str(tmp_path / "none")], log_path=tmp_path / "log")
    async with child:
        with pytest.raises(ServerEndedError, match="nobody ended with code 127"):
            await child.until_ready(lambda: _is_ready(tmp_path), 10)
    assert "none" in child.log_tail()


async def test_variables_are_added_to_the_environment(tmp_path: Path) -> None:
    child = ChildProcess(
        "reader",
        [sys.executable, "-c", "import os; print(os.environ['ADDED'], 'PATH' in os.environ)"],
        log_path=tmp_path / "log",
        env={"ADDED": "yes"},
    )
    async with child:
        await child.wait()
    assert child.log_tail().split() == ["yes", "True"]
