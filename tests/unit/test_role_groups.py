"""Consumer groups of roles: who shares the log, and who gets all of it."""

from pathlib import Path

import pytest

from infra.roles import bridge
from infra.roles.sink import group_of_file
from infra.settings import Settings


def test_each_embedded_file_gets_the_whole_history_under_one_name_for_ever(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    one, again, other = (group_of_file(tmp_path / name / "timeseries.duckdb") for name in ("a", "a/../a", "b"))
    assert one == again != other
    assert one.startswith("twinstream-sink-timeseries-")


@pytest.mark.parametrize(
    ("section", "group"),
    [({}, "twinstream-bridge-amqp"), ({"group": "plant-2"}, "plant-2")],
)
def test_a_bridge_has_the_group_of_its_kind_or_its_own(
    section: dict[str, str], group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(bridge, "_bridge", lambda _connector, _clock, _url, group, _role: told.append(group))
    settings = Settings.model_validate({"amqp": {"url": "amqp://127.0.0.1"} | section})
    bridge.body("amqp", settings)(None)  # type: ignore[arg-type]
    assert told == [group]
