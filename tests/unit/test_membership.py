"""Names in consumer groups."""

import re
import socket
from pathlib import Path

import pytest

from infra.membership import Membership


def test_a_name_is_the_same_after_a_restart(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        with Membership(tmp_path, "sink:metadata") as membership:
            names.append(membership.name)
    assert names[0] == names[1]
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,200}", names[0])


def test_no_two_processes_have_the_same_name_at_the_same_time(tmp_path: Path) -> None:
    with Membership(tmp_path, "sink:metadata") as first:
        with Membership(tmp_path, "sink:metadata") as second, Membership(tmp_path, "bridge:mqtt") as other:
            names = {first.name, second.name, other.name}
        with Membership(tmp_path, "sink:metadata") as again:
            assert again.name == second.name
    assert len(names) == 3


def test_other_data_directories_and_machines_have_other_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for folder in ("a", "b"):
        with Membership(tmp_path / folder, "sink:metadata") as membership:
            names.add(membership.name)
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    with Membership(tmp_path / "a", "sink:metadata") as membership:
        names.add(membership.name)
    assert len(names) == 3
