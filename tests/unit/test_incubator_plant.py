"""The simulated incubator: its physics, its driver, its lid, and the twin that watches it."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from reference.incubator_reference import PLANT_2023
from reference.plain_twin import EXAMPLES, PlainTwin, load

FOLDER = EXAMPLES / "incubator"
START_NS = 1_700_000_000_000_000_000


def _plant(name: str) -> Any:
    return load(FOLDER, f"plant.py:{name}")


def _box(first_lid_s: float = 0.0, every_s: float = 0.0, seed: int = 1, start_ns: int = START_NS) -> Any:
    return _plant("Box")(_plant("Lid")(seed, first_lid_s, every_s), start_ns, seed, "boot")


@pytest.mark.parametrize("lid_open", [False, True])
def test_one_cycle_is_the_solution_of_the_differential_equations(lid_open: bool) -> None:  # noqa: FBT001
    step, drive = _plant("transition")(3.0, lid_open=lid_open)
    p = {**PLANT_2023, "G_box": PLANT_2023["G_box"] * (100 if lid_open else 1)}
    state, room = np.array([47.0, 41.0]), 18.0

    def slope(x: np.ndarray) -> np.ndarray:
        flow = p["G_heater"] * (x[0] - x[1])
        heat = p["V_heater"] * p["I_heater"]
        return np.array([(heat - flow) / p["C_heater"], (flow - p["G_box"] * (x[1] - room)) / p["C_air"]])

    x, h = state.copy(), 0.003
    for _ in range(1000):
        k1 = slope(x)
        k2 = slope(x + h / 2 * k1)
        k3 = slope(x + h / 2 * k2)
        k4 = slope(x + h * k3)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    np.testing.assert_allclose(step @ state + drive @ [1.0, room], x, rtol=0, atol=1e-9)


def test_the_driver_applies_at_most_one_command_of_each_name_a_cycle() -> None:
    box = _box()
    box.orders["heater"].extend([True, False])
    box.orders["fan"].append(True)
    cycles = [box.cycle() for _ in range(3)]
    assert [record["heater_on"] for record in cycles] == [True, False, False]
    assert [record["fan_on"] for record in cycles] == [True, True, True]


def test_records_are_3_s_apart_and_readings_are_sixteenths_of_a_degree() -> None:
    box = _box()
    records = [box.cycle() for _ in range(50)]
    assert {b["time"] - a["time"] for a, b in pairwise(records)} == {3_000_000_000}
    assert [record["seq"] for record in records] == list(range(50))
    for record in records:
        for name in ("t1", "t2", "t3"):
            cut = round(record[name] * 16) / 16
            assert 0 <= cut - record[name] < 0.001
    assert records == [_copy.cycle() for _copy in [_box()] for _ in range(50)]


def test_the_lid_follows_its_seed_and_stays_closed_when_asked_to() -> None:
    times = np.arange(0.0, 4000.0, 3.0)
    first, again = (_plant("Lid")(5, 210.0, 600.0) for _ in range(2))
    opened = [first.is_open(time) for time in times]
    assert opened == [again.is_open(time) for time in times]
    assert times[opened.index(True)] == 210.0
    openings = int(np.sum(np.diff(opened) & opened[1:]))
    assert 5 <= openings <= 8
    never = _plant("Lid")(5, 210.0, 0.0)
    assert not any(never.is_open(time) for time in times)


@pytest.mark.slow
def test_the_twin_heats_the_box_and_notices_an_open_lid_and_nothing_else_at_any_time_of_day() -> None:
    for seed, later_s in ((1, 0), (2, 17_000), (3, 34_000), (4, 51_000)):
        box = _box(first_lid_s=210.0, every_s=900.0, seed=seed, start_ns=START_NS + later_s * 10**9)
        twin = PlainTwin(FOLDER)
        watch = _plant("Lid")(seed, 210.0, 900.0)
        opened, noticed, warm = [], [], []
        last: dict[str, bool | None] = {"heater": None, "fan": None}
        for index in range(1200):
            record = box.cycle()
            outputs = twin.step(record)
            for name, orders in box.orders.items():
                decision = outputs[f"{name}_command"]
                if decision != last[name]:
                    last[name] = decision
                    orders.append(decision)
            opened.append(watch.is_open(3.0 * index))
            noticed.append(outputs["lid_open"])
            warm.append(outputs["average_temperature"])
        openings = [i for i in range(1, 1200) if opened[i] and not opened[i - 1]]
        alarms = [i for i in range(1, 1200) if noticed[i] and not noticed[i - 1]]
        assert len(openings) == len(alarms) >= 3
        for opening, alarm in zip(openings, alarms, strict=True):
            assert 0 < 3 * (alarm - opening) <= 15
        # Bursts of 20 s and pauses of 30 s: two fifths of 18.7 W, with the lid closed most of the time.
        above_room = np.array(warm[400:]) - record["t3"]
        assert 8 < above_room.max() < 16


@pytest.mark.parametrize("arguments", [["--twins", "0"], ["--speed", "0"], ["--mqtt", "tcp://127.0.0.1"]])
def test_wrong_options_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        _plant("options_of")(arguments)
    assert stopped.value.code == 2
