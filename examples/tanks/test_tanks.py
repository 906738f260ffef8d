"""The tanks: their recording, and level control and leaks of simulated tanks that the twin's commands move."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from reference.plain_twin import PlainTwin, load
from support.oracle import block_of, load_type
from support.played import Played, columns, played
from support.stepping import TWINS, Stepping, put, reading, tick

from twins.check import check_folder
from twins.functions.testing import load_step

FOLDER = Path(__file__).parent
FILE = FOLDER / "tanks.csv"
LEAK_M3_S = 0.001
SENSOR_M, FLOW_M3_S, AREA_M2 = 0.002, 0.0001, 1.5


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def recorded(cache: Path) -> Played:
    return played(FOLDER, FILE, cache)


@pytest.fixture
def engine(cache: Path) -> Stepping:
    return Stepping(load_type(FOLDER, "tanks", cache))


def test_the_folder_has_no_faults(cache: Path) -> None:
    assert check_folder(FOLDER, cache) == []


def test_the_recording_is_what_its_script_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, FOLDER / "make_data.py", tmp_path / "again.csv"], check=True, timeout=60)
    assert (tmp_path / "again.csv").read_bytes() == FILE.read_bytes()


def test_what_cannot_have_been_measured_is_refused(recorded: Played) -> None:
    assert [(one.line, one.reason) for one in recorded.refusals] == [(1352, "out_of_range"), (1353, "wrong_type")]
    assert recorded.trial.accepted == 1498


def test_the_leak_is_suspected_once_and_its_flow_is_the_slope_of_what_is_missing(recorded: Played) -> None:
    assert recorded.trial.events["leak_suspected"] == recorded.trial.events["leak_ended"] == 1
    times, suspected = recorded.series("leak_suspected")
    assert 1530 < times[np.argmax(suspected)] < 1620
    rows = columns(FILE)
    # A regression over ten minutes, where the twin averages differences: level minus what the meters say of it.
    steps = np.diff(rows["s"], prepend=0.0)
    missing = np.cumsum((rows["inflow"] - rows["outflow"]) * steps) - AREA_M2 * rows["level_m"]
    within = (rows["s"] > 1800) & (rows["s"] < 2400)
    slope = np.polyfit(rows["s"][within], missing[within], 1)[0]
    assert slope == pytest.approx(LEAK_M3_S, rel=0.05)
    times, flow = recorded.series("leak_flow")
    assert np.mean(flow[(times > 1800) & (times < 2400)]) == pytest.approx(slope, rel=0.05)


def test_innovations_are_those_of_all_levels_at_once(recorded: Played) -> None:
    """The filter goes record by record; here all levels up to minute 8 are one normal vector, factored at once."""
    rows = columns(FILE)
    known = rows["s"] < 480
    time, level = rows["s"][known], rows["level_m"][known]
    new = np.append(True, level[1:] != level[:-1])
    net = np.cumsum((rows["inflow"] - rows["outflow"])[known] * np.diff(time, prepend=0.0)) / AREA_M2
    wandering = (FLOW_M3_S / AREA_M2) ** 2 * np.minimum.outer(time, time)
    covariance = SENSOR_M**2 * (1.0 + np.eye(len(time))) + wandering
    expected = level[0] + net
    keep = np.flatnonzero(new)[1:]
    factor = np.linalg.cholesky(covariance[np.ix_(keep, keep)])
    nis = np.linalg.solve(factor, (level - expected)[keep]) ** 2
    by_time = dict(zip(time[keep], nis, strict=True))
    times, found = recorded.series("nis")
    # A line comes with a tick, and tells what the record 2 s before it led to.
    compared = [(value, by_time[t - 2]) for t, value in zip(times, found, strict=True) if t - 2 in by_time]
    assert len(compared) > 40
    np.testing.assert_allclose(*zip(*compared, strict=True), rtol=1e-6, atol=1e-9)


def test_the_twin_drifts_from_its_tank_while_that_leaks_and_not_before(recorded: Played) -> None:
    times, drifting = recorded.series("drifting")
    assert not drifting[times < 1500].any()
    assert drifting[(times > 1560) & (times < 2400)].all()


def test_a_silent_sensor_is_noticed_and_nothing_is_filled_meanwhile(recorded: Played) -> None:
    assert recorded.trial.events["level_unknown"] == 1
    times, wanted = recorded.series("pump_wanted")
    assert not wanted[(times > 632) & (times < 690)].any()


def _simulated(minutes: float, count: int = 1, **events: tuple[float, float]) -> list[list[dict[str, Any]]]:
    """Outputs of a row of tanks that obey their twins at once; events befall the first one."""
    tank_of = load(FOLDER, "plant.py:Tank")
    tanks = [tank_of(1_700_000_000 * 10**9, 1, "boot", **events)]
    while len(tanks) < count:
        tanks.append(tank_of(1_700_000_000 * 10**9, len(tanks) + 1, "boot", tanks[-1]))
    twins, results = [PlainTwin(FOLDER) for _ in tanks], [[] for _ in tanks]
    for _ in range(round(minutes * 30)):
        for tank, twin, found in zip(tanks, twins, results, strict=True):
            record = tank.cycle()
            held = {name: twin.last.get(name, False) for name in twin.definition.inputs}
            twin.last |= dict.fromkeys(twin.definition.implied(), False)
            outputs = twin.step({**held, **record})
            tank.obey("pump", outputs["pump_wanted"])
            tank.obey("valve", outputs["valve_wanted"])
            found.append(outputs | {"true": tank.level_m})
    return results


def test_the_pumps_keep_every_level_of_a_row() -> None:
    for found in _simulated(60, count=3):
        levels = np.array([outputs["true"] for outputs in found[300:]])
        assert (levels > 1.7).all()
        assert (levels < 2.15).all()
        assert not any(outputs["leak_suspected"] or outputs["drifting"] for outputs in found)


def test_a_leak_of_a_tenth_of_the_pump_is_found_within_three_minutes() -> None:
    (found,) = _simulated(40, leaks=(600.0, 2400.0))
    suspected = [outputs["leak_suspected"] for outputs in found]
    assert 300 < suspected.index(True) < 390
    assert found[-1]["leak_flow"] == pytest.approx(LEAK_M3_S, rel=0.3)


def test_a_level_that_was_not_measured_anew_gives_no_innovation() -> None:
    follow, state = load_step(FOLDER, "balance")
    follow(state, 2.0, False, 0.0, 0.0, AREA_M2, SENSOR_M, FLOW_M3_S, 0.0)
    assert follow(state, 2.0, False, 0.003, 0.0, AREA_M2, SENSOR_M, FLOW_M3_S, 10.0)[1:3] == (0.0, 0.0)
    _, missing, innovation, _ = follow(state, 2.03, False, 0.003, 0.0, AREA_M2, SENSOR_M, FLOW_M3_S, 10.0)
    assert missing == pytest.approx((0.06 - AREA_M2 * 0.03) / 20.0)
    assert innovation == pytest.approx(-0.01)


WATER = {"inflow": 0.0, "outflow": 0.0, "pump_on": False, "valve_open": False}
TANK, NEXT = TWINS[:2]


def _pump_commands(engine: Stepping) -> list[tuple[bool, str]]:
    return [(one["value"], one["status"]) for one in engine.run.messages("commands") if one["name"] == "pump"]


def test_a_tank_that_is_nearly_empty_tells_the_twin_that_it_feeds_and_no_other(engine: Stepping) -> None:
    for twin in (TANK, NEXT):
        engine.step(reading(twin, 0, level_m=1.0, feeder_low=False, **WATER))
    engine.step(put(TANK, {"feeds": NEXT.decode()}))
    low = [reading(twin, 2, level_m=0.2, **WATER)._replace(offset=9 + at) for at, twin in enumerate((TANK, NEXT))]
    routed = engine.processor.process(block_of(low)).routed
    told = {
        topic: [(key, msgspec.json.decode(value or b"")["feeder_low"]) for key, value, _ in sent]
        for topic, sent in routed.items()
    }
    assert told == {"twinstream.tanks.telemetry": [(NEXT, True)]}


def test_nothing_is_filled_from_an_empty_tank_nor_blindly(engine: Stepping) -> None:
    engine.step(reading(TANK, 0, level_m=1.0, feeder_low=False, **WATER), reading(TANK, 20, level_m=1.001, **WATER))
    assert _pump_commands(engine) == [(False, "issued"), (True, "issued")]
    engine.step(reading(TANK, 32, feeder_low=True))
    assert _pump_commands(engine)[2:] == [(False, "issued")]
    engine.step(reading(TANK, 44, feeder_low=False, level_m=1.002))
    assert _pump_commands(engine)[3:] == [(True, "issued")]
    # No record comes any more: 30 s after the last level the next tick switches the pump off.
    engine.step(tick(70))
    assert len(_pump_commands(engine)) == 4
    engine.step(tick(75))
    assert _pump_commands(engine)[4:] == [(False, "issued")]
    assert engine.state(TANK).status == "stale"
    assert [one["name"] for one in engine.run.messages("events") if one["name"] == "level_unknown"] == ["level_unknown"]


def test_what_is_switched_by_hand_is_left_alone_by_the_twin(engine: Stepping) -> None:
    engine.step(put(TANK, {"remote": False}))
    engine.step(reading(TANK, 0, level_m=1.0, feeder_low=False, **WATER), reading(TANK, 20, level_m=1.001, **WATER))
    assert _pump_commands(engine) == [(False, "refused")], "one reason is told once"
