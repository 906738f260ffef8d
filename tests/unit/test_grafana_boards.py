"""Boards that are made from definitions."""

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.settings import TimeseriesSettings
from infra.grafana.panels import unit_of
from infra.grafana.provisioning import Provisioning, boards
from schemas.definition import Definition
from schemas.definition_file import read_definition

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/twin.yaml"))


def _definitions() -> list[Definition]:
    return [read_definition(path.read_text("utf-8")) for path in EXAMPLES]


def _places(board: dict[str, Any]) -> list[tuple[int, int, int, int]]:
    return [(one["x"], one["y"], one["w"], one["h"]) for one in (panel["gridPos"] for panel in board["panels"])]


def test_every_stored_field_is_in_both_boards_of_its_type() -> None:
    found = boards(_definitions())
    for definition in _definitions():
        name = str(definition.type_name)
        for kind in ("twin", "fleet"):
            text = json.dumps(found[f"{kind}-{name}.json"])
            assert definition.outputs.timeseries.fields
            for field in definition.outputs.timeseries.fields:
                assert f'r._field == \\"{field}\\"' in text, (name, kind, field)
            assert found[f"{kind}-{name}.json"]["title"] == f"twinstream {kind}: {name}"


def test_panels_neither_overlap_nor_leave_the_board_and_each_has_a_number_of_its_own() -> None:
    for name, board in boards(_definitions()).items():
        places = _places(board)
        cells = [(x + i, y + j) for x, y, w, h in places for i in range(w) for j in range(h)]
        assert len(cells) == len(set(cells)), name
        assert all(x + w <= 24 for x, _, w, _ in places), name
        assert len({panel["id"] for panel in board["panels"]}) == len(places), name
    assert len({board["uid"] for board in boards(_definitions()).values()}) == 2 * len(EXAMPLES) + 1


def test_curves_of_one_unit_are_drawn_together_and_the_residual_apart() -> None:
    incubator = next(one for one in _definitions() if one.name == "incubator")
    panels = boards([incubator])["twin-incubator.json"]["panels"]
    curves = {panel["title"]: panel for panel in panels if panel["type"] == "timeseries"}
    assert list(curves) == ["average_temperature, T_air, T_heater", "prediction_error"]
    assert curves["average_temperature, T_air, T_heater"]["fieldConfig"]["defaults"]["unit"] == "celsius"
    assert [panel["title"] for panel in panels if panel["type"] == "state-timeline"] == ["States"]


@pytest.mark.parametrize(
    ("ours", "shown"),
    [("degC", "celsius"), ("W", "watt"), ("", "none"), ("W/K", "suffix: W/K"), ("delta_degC", "suffix: °C")],
)
def test_units_are_called_as_grafana_calls_them(ours: str, shown: str) -> None:
    assert unit_of(ours) == shown


def test_only_what_changed_is_written_and_boards_of_types_that_are_gone_are_removed(tmp_path: Path) -> None:
    first, second = _definitions()[:2]
    provisioning = Provisioning(tmp_path, TimeseriesSettings())
    provisioning.write([first, second])
    folder = tmp_path / "grafana" / "boards"
    files = {file.name: file.stat().st_ino for file in folder.iterdir()}
    assert len(files) == 5
    provisioning.write([first, second])
    assert {file.name: file.stat().st_ino for file in folder.iterdir()} == files
    provisioning.write([first])
    gone = {f"fleet-{second.name}.json", f"twin-{second.name}.json"}
    assert {file.name for file in folder.iterdir()} == set(files) - gone
    Provisioning(tmp_path, TimeseriesSettings()).write([second])
    assert {file.name for file in folder.iterdir()} == {"system.json", *gone}


def test_the_embedded_store_is_no_data_source(tmp_path: Path) -> None:
    Provisioning(tmp_path, TimeseriesSettings()).write([])
    text = (tmp_path / "grafana" / "provisioning" / "datasources" / "twinstream.yml").read_text("utf-8")
    assert "prometheus" in text
    assert "influxdb" not in text
