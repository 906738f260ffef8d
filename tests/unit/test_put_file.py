import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from infra.put_file import PRIVATE, put_file

KILLED_BEFORE_IT_IS_IN_PLACE = """
import os, pathlib, signal, sys
from infra.put_file import put_file
pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
put_file(pathlib.Path(sys.argv[1]), b"new " * 100_000, durable=True)
"""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_holds_what_it_was_given_and_nothing_is_left_beside_it(tmp_path: Path, *, durable: bool) -> None:
    path = tmp_path / "state.json"
    for content in ("\N{DEGREE SIGN}C", b"\x00\xff", ""):
        put_file(path, content, durable=durable)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_that_is_killed_before_the_file_is_in_place_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    put_file(path, "old")
    command = [sys.executable, "-c", KILLED_BEFORE_IT_IS_IN_PLACE, str(path)]
    root = str(Path(__file__).parents[2])
    ended = subprocess.run(command, timeout=30, check=False, env=os.environ | {"PYTHONPATH": root})
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    (beside,) = set(tmp_path.iterdir()) - {path}
    assert beside.read_bytes() == b"new " * 100_000
    put_file(path, "newer")
    assert path.read_text() == "newer"
    assert list(tmp_path.iterdir()) == [path], "what the killed one left stays"


def test_what_others_are_writing_stays(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    others = {tmp_path / f".state.json.{os.getppid()}.7.new", tmp_path / ".state.jsonx.1.7.new", tmp_path / "a.new"}
    for other in others:
        other.touch()
    put_file(path, "mine")
    assert set(tmp_path.iterdir()) == others | {path}


def test_what_can_t_be_written_changes_nothing_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    put_file(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        put_file(path, "new", durable=True)
    assert [(file, file.read_text()) for file in tmp_path.iterdir()] == [(path, "old")]


def test_a_private_file_is_readable_by_its_owner_only_whatever_it_was_before(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    before = os.umask(0o022)
    try:
        put_file(path, "shown")
        assert mode_of(path) == 0o644
        put_file(path, "hidden", mode=PRIVATE)
        assert mode_of(path) == 0o600
        put_file(path, "hidden again", mode=PRIVATE)
        assert mode_of(path) == 0o600
    finally:
        os.umask(before)


def test_a_link_that_lies_where_it_is_written_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.get_ident", lambda: 7)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    path = tmp_path / "state.json"
    (tmp_path / f".state.json.{os.getpid()}.7.new").symlink_to(elsewhere)
    put_file(path, "new")
    assert (path.read_text(), path.is_symlink(), elsewhere.read_text()) == ("new", False, "mine")
