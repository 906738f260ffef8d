"""The pump: its recording, its SciPy step against closed forms and tables, and pumps that obey."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference.plain_twin import PlainTwin, load
from support.played import Played, columns, played

from twins.check import check_folder
from twins.functions.testing import load_step

FOLDER = Path(__file__).parent
FILE = FOLDER / "pump.csv"
# What the simulated pump is: its head falls with the square of the flow, so that every point has a closed form.
SHUT_OFF, FALL, STATIC, RESISTANCE, NOMINAL = 38.0, 0.00555, 12.0, 0.01, 2900.0


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def recorded(cache: Path) -> Played:
    return played(FOLDER, FILE, cache)


def _meeting_flow(speed: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(np.maximum(0.0, SHUT_OFF * (speed / NOMINAL) ** 2 - STATIC) / (FALL + RESISTANCE))


def test_the_folder_has_no_faults(cache: Path) -> None:
    assert check_folder(FOLDER, cache) == []


def test_the_recording_is_what_its_script_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, FOLDER / "make_data.py", tmp_path / "again.csv"], check=True, timeout=60)
    assert (tmp_path / "again.csv").read_bytes() == FILE.read_bytes()


def test_water_of_120_degrees_is_refused(recorded: Played) -> None:
    assert [(one.line, one.reason) for one in recorded.refusals] == [(1502, "out_of_range")]
    assert recorded.trial.accepted == 1799


def test_the_expected_flow_is_the_closed_form_of_the_simulated_pump(recorded: Played) -> None:
    rows = columns(FILE)
    good = rows["temperature"] < 100
    found = recorded.series("expected_flow")[1]
    expected = _meeting_flow(rows["speed"][good])
    np.testing.assert_allclose(found, expected, atol=0.4)  # a third of a percent of head between the maker's points
    assert (found == 0.0).any()
    np.testing.assert_allclose(found, rows["flow"][good], atol=0.8)


def test_head_and_efficiency_are_those_of_the_measured_values(recorded: Played) -> None:
    rows = columns(FILE)
    rows = {name: values[rows["temperature"] < 100] for name, values in rows.items()}
    pressure_pa = (rows["discharge_pressure"] - rows["suction_pressure"]) * 1e3
    np.testing.assert_allclose(recorded.series("head")[1], pressure_pa / (998.2 * 9.80665), rtol=1e-12)
    running = rows["flow"] > 5
    hydraulic_kw = (pressure_pa * rows["flow"] / 3.6e6)[running]
    np.testing.assert_allclose(recorded.series("efficiency")[1][running], hydraulic_kw / rows["power"][running])


def test_cavitation_is_told_once_while_the_strainer_is_clogged(recorded: Played) -> None:
    assert recorded.trial.events["cavitation"] == recorded.trial.events["cavitation_ended"] == 1
    times, cavitating = recorded.series("cavitating")
    assert 604 <= times[np.argmax(cavitating)] <= 615
    times, margin = recorded.series("npsh_margin")
    clogged = (times > 602) & (times < 718)
    assert margin[clogged].max() < 0.5
    assert margin[~((times > 598) & (times < 722))].min() > 3.0


def test_wear_is_told_once_and_its_size_is_an_eighth(recorded: Played) -> None:
    assert recorded.trial.events["worn"] == 1
    times, worn = recorded.series("worn")
    assert 1260 < times[np.argmax(worn)] < 1350
    assert recorded.at("deficit", 1790) == pytest.approx(0.72 / 8, abs=0.01)


@pytest.mark.parametrize(
    ("temperature", "pressure"), [(20, 2.339), (40, 7.385), (60, 19.95), (80, 47.41), (100, 101.4)]
)
def test_vapour_pressure_is_that_of_the_steam_tables(temperature: float, pressure: float) -> None:
    """Tables: W. Wagner, H.-J. Kretzschmar, International Steam Tables (2008), in kPa."""
    vapour_pressure = load_step(FOLDER, "operation")[0].__globals__["vapour_pressure"]
    assert vapour_pressure(temperature) == pytest.approx(pressure, rel=0.006)


@settings(deadline=None)
@given(st.floats(0, 45), st.floats(0, 25), st.floats(0.001, 0.02))
def test_at_the_speed_that_is_needed_the_wanted_flow_is_expected(flow: float, static: float, resistance: float) -> None:
    solve = load_step(FOLDER, "operation")[0]
    rest = (flow, static, resistance, 0.1)
    *_, needed = solve(100.0, 300.0, 30.0, 2500.0, 4.0, 20.0, *rest)
    _, found, *_, again = solve(100.0, 300.0, 30.0, needed, 4.0, 20.0, *rest)
    assert again == needed
    if needed < 1.2 * NOMINAL - 1e-6 and static + resistance * flow**2 > 0.01:
        assert found == pytest.approx(flow, abs=1e-3 if flow > 1 else 0.5)


def test_a_pump_keeps_its_flow_and_is_spared_while_its_strainer_is_clogged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))  # the plain twin knows nothing of imports within the folder
    pump, twin = load(FOLDER, "plant.py:Pump")(1_700_000_000 * 10**9, 3, "boot", (300.0, 500.0)), PlainTwin(FOLDER)
    flows, cavitating = [], []
    for _ in range(900):
        record = pump.cycle()
        outputs = twin.step(record)
        assert pump.obey("speed", outputs["speed_wanted"])
        flows.append(record["flow"])
        cavitating.append(outputs["cavitating"])
    assert np.mean(flows[200:300]) == pytest.approx(35.0, abs=0.7)
    assert 304 < cavitating.index(True) < 312
    assert np.mean(flows[330:360]) < 25
    assert not any(cavitating[580:])
    assert np.mean(flows[700:]) == pytest.approx(35.0, abs=0.7)
