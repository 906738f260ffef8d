"""The tank: level control, relief and leaks on a simulated tank, against the water that is really there."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.jitted import jitted
from reference.plain_twin import PlainTwin, load

from twins.functions.testing import new_records, new_state

FOLDER = Path(__file__).parents[1] / "types" / "tank"
START_NS = 1_700_000_000_000_000_000
AREA, PUMP, VALVE, DT_S = 1.5, 0.006, 0.02, 2.0


def _run(
    minutes: float,
    *,
    leak: float = 0.0,
    leak_from_s: float = 0.0,
    rain: float = 0.0,
    level: float = 1.5,
    wave: float = 0.002,
) -> dict[str, np.ndarray]:
    """A tank that is drawn from irregularly, with waves on its surface."""
    twin, random = PlainTwin(FOLDER), np.random.default_rng(11)
    pump = valve = False
    results = []
    for index in range(int(minutes * 60 / DT_S)):
        drawn = 0.002 if index % 100 < 40 else 0.0
        inflow, outflow = PUMP * pump + rain, drawn + VALVE * valve
        if index:
            leaking = leak if index * DT_S >= leak_from_s else 0.0
            level += (inflow - outflow - leaking) * DT_S / AREA
        record = {
            "time": START_NS + round(index * DT_S * 1e9),
            "level_m": level + random.normal(0, wave),
            "inflow": inflow,
            "outflow": outflow,
        }
        outputs = twin.step(record)
        pump, valve = outputs["pump_command"], outputs["valve_command"]
        results.append({**outputs, "level": level})
    return {name: np.array([result[name] for result in results]) for name in results[0]}


def test_the_pump_keeps_the_level_within_its_band() -> None:
    levels = _run(90)["level"]
    assert (levels[600:] > 1.85).all()
    assert (levels[600:] < 2.15).all()


def test_the_pump_runs_for_at_least_its_minimum_time() -> None:
    pump = _run(90)["pump_command"].astype(int)
    switches = np.flatnonzero(np.diff(pump))
    assert len(switches) > 6
    assert (np.diff(switches) * DT_S >= 10).all()


def test_the_valve_relieves_a_tank_that_rain_fills() -> None:
    found = _run(60, rain=0.004)
    assert found["valve_command"].any()
    assert found["level"].max() < 2.85
    assert not found["pump_command"][found["valve_command"]].any()


def test_a_sound_tank_is_never_suspected() -> None:
    assert not _run(180)["leak_suspected"].any()


def test_a_leak_is_suspected_within_six_minutes_and_its_size_is_found() -> None:
    found = _run(90, leak=0.001, leak_from_s=1800.0)
    since = int(np.flatnonzero(found["leak_suspected"])[0]) * DT_S
    assert 1860 < since < 2160
    assert found["leak_suspected"][int(since / DT_S) :].all()
    assert np.mean(found["leak_flow"][-900:]) == pytest.approx(0.001, abs=1e-4)


@given(
    st.lists(
        st.tuples(st.floats(0.1, 100), st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.1)), min_size=1, max_size=30
    )
)
def test_missing_flow_is_the_leak_whatever_else_flows(steps: list[tuple[float, float, float, float]]) -> None:
    missing_flow = load(FOLDER, "balance.py:missing_flow")
    state = new_state(PlainTwin(FOLDER).definition.pipeline[0].state)
    level = 20.0
    assert missing_flow(state, level, 0.0, 0.0, AREA, 0.0) == (AREA * level, 0.0)
    for dt_s, inflow, outflow, leak in steps:
        level += (inflow - outflow - leak) * dt_s / AREA
        volume, missing = missing_flow(state, level, inflow, outflow, AREA, dt_s)
        assert volume == AREA * level
        assert missing == pytest.approx(leak, abs=1e-6)


def test_the_compiled_balance_is_the_plain_one() -> None:
    missing_flow = load(FOLDER, "balance.py:missing_flow")
    declared = PlainTwin(FOLDER).definition.pipeline[0].state
    plain, compiled, records = new_state(declared), jitted(missing_flow), new_records(declared)
    for index in range(20):
        arguments = (2.0 + 0.1 * index % 3, 0.01, 0.002 * index, AREA, 2.0)
        assert compiled(records[0], *arguments) == pytest.approx(missing_flow(plain, *arguments), abs=1e-12)


def test_a_request_moves_the_level_that_the_pump_keeps() -> None:
    twin = PlainTwin(FOLDER)
    record = {"time": START_NS, "level_m": 2.0, "inflow": 0.0, "outflow": 0.0}
    assert not twin.step(record)["pump_command"]
    assert twin.request("level_desired", {"level_desired": 2.5}) is None
    assert twin.step({**record, "time": START_NS + 10**9})["pump_command"]
    assert twin.request("level_desired", {"level_desired": 60.0}) == "60.0 m is not in [0.0, 50.0]"
