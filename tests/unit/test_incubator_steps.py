"""The incubator's steps against the independent implementation, on recorded and on made-up records."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference.incubator_reference import DEFAULTS, FIELDS, PLANT_2021, PLANT_2023, Request, matrices, replay
from reference.jitted import jitted
from reference.plain_twin import EXAMPLES, PlainTwin, load
from reference.recordings import (
    LID_EVENTS,
    ROOM_T1,
    ROOM_T3,
    read_events,
    read_recording,
    recordings_folder,
)

from twins.functions.registry import BUILT_INS
from twins.functions.testing import new_records, new_state

FOLDER = EXAMPLES / "incubator"
TOLERANCE_C = 1e-9
SECOND = 1_000_000_000
LIMITS = ("lower_bound", "heating_time", "heating_gap")
Rows = Sequence[Mapping[str, Any]]


@pytest.fixture(scope="module")
def folder() -> Path:
    found = recordings_folder()
    if found is None:
        pytest.skip("no recordings: set TWINSTREAM_RECORDINGS")
    return found


def _stepped(
    rows: Rows, parameters: Mapping[str, Any] | None = None, requests: Sequence[Request] = ()
) -> dict[str, NDArray[Any]]:
    twin = PlainTwin(FOLDER, parameters)
    pending = list(requests)
    results = []
    for index, row in enumerate(rows):
        while pending and pending[0][0] <= index:
            _, name, arguments = pending.pop(0)
            twin.request(name, arguments)
        results.append(twin.step(row))
    return {name: np.array([result[name] for result in results]) for name in FIELDS}


def _assert_same(found: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]]) -> None:
    for name in FIELDS:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=TOLERANCE_C, err_msg=name)


def _row(seconds: float, air: float, *, room: float = 21.0, heater_on: bool = False) -> dict[str, Any]:
    time_ns = 1_700_000_000 * SECOND + round(seconds * SECOND)
    return {"time": time_ns, "t1": air - 1, "t2": air + 1, "t3": room, "heater_on": heater_on, "fan_on": True}


def test_the_definition_has_the_defaults_of_the_reference() -> None:
    declared = PlainTwin(FOLDER).definition.parameters
    assert {name: parameter.default for name, parameter in declared.items()} == DEFAULTS


def test_matrices_of_the_2023_plant_are_the_published_ones() -> None:
    transition, drive = matrices(PLANT_2023, 3.0)
    np.testing.assert_allclose(transition, [[0.98527702, 0.01462844], [0.0180015, 0.97569327]], atol=1e-8)
    np.testing.assert_allclose(drive, [[0.16756597, 0.0000945334], [0.00306151, 0.00630523]], atol=1e-8)


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("file", "parameters"),
    [
        (ROOM_T3, {}),
        (ROOM_T3, {"step_s": 0.0, "noise": 0.0005}),
        (ROOM_T3, {"temperature_desired": 38.0, "lower_bound": 2.0, "heating_time": 60000.0, "heating_gap": 5.0}),
        (ROOM_T1, {**PLANT_2021, "room_sensor": "t1"}),
        (ROOM_T1, {**PLANT_2021, "room_sensor": "t1", "step_s": 0.0}),
    ],
)
def test_estimates_of_recorded_telemetry_equal_the_reference(
    folder: Path, file: str, parameters: dict[str, Any]
) -> None:
    rows = read_recording(folder / file)
    assert len(rows) in {467, 2216}
    _assert_same(_stepped(rows, parameters), replay(rows, parameters))


@pytest.mark.recordings
def test_requests_in_the_midst_of_recorded_telemetry_equal_the_reference(folder: Path) -> None:
    rows = read_recording(folder / ROOM_T1)
    parameters = {**PLANT_2021, "room_sensor": "t1"}
    requests: list[Request] = [
        (50, "temperature_desired", {"temperature_desired": 45.0}),
        (60, "temperature_desired", {"temperature_desired": 30.0}),
        (100, "parameters", PLANT_2023),
        (180, "parameters", {**PLANT_2021, "G_box": 0.9}),
        (200, "energy_saver", {"enabled": True}),
        (260, "reset", {}),
        (300, "energy_saver", {"enabled": True}),
        (400, "energy_saver", {"enabled": False}),
    ]
    expected = replay(rows, parameters, requests)
    _assert_same(_stepped(rows, parameters, requests), expected)
    without = replay(rows, parameters)
    assert (expected["heater_command"] != without["heater_command"]).any()


@pytest.mark.recordings
def test_both_lid_openings_of_the_recording_are_noticed_within_10_s_and_their_ends_within_45_s(folder: Path) -> None:
    rows = read_recording(folder / ROOM_T1)
    lid_open = _stepped(rows, {**PLANT_2021, "room_sensor": "t1"})["lid_open"]
    changes = (np.flatnonzero(np.diff(lid_open.astype(int), prepend=0))).tolist()
    events = read_events(folder / LID_EVENTS)
    assert len(changes) == len(events) == 4
    for change, (time_ns, event) in zip(changes, events, strict=True):
        delay_s = (int(rows[change]["time"]) - time_ns) / SECOND
        assert lid_open[change] == (event == "Lid Opened")
        assert 0 < delay_s < (10 if event == "Lid Opened" else 45)


@pytest.mark.recordings
def test_a_closed_lid_is_never_taken_for_an_open_one(folder: Path) -> None:
    assert not _stepped(read_recording(folder / ROOM_T3))["lid_open"].any()


ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 3 * SECOND, 3 * SECOND, 10 * SECOND, 30 * SECOND]),
        st.floats(15, 59),
        st.floats(10, 30),
        st.booleans(),
    ),
    min_size=1,
    max_size=80,
)
REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 79),
        st.one_of(
            st.tuples(
                st.just("temperature_desired"),
                st.fixed_dictionaries({"temperature_desired": st.floats(20, 50)}),
            ),
            st.tuples(st.just("energy_saver"), st.fixed_dictionaries({"enabled": st.booleans()})),
            st.tuples(st.just("parameters"), st.sampled_from([PLANT_2021, PLANT_2023])),
            st.tuples(st.just("reset"), st.just({})),
        ),
    ),
    max_size=6,
).map(lambda items: sorted(((index, name, arguments) for index, (name, arguments) in items), key=lambda item: item[0]))


@settings(max_examples=60)
@given(ROWS, REQUESTS, st.sampled_from(["t1", "t3"]), st.sampled_from([0.0, 3.0]), st.integers(0, 20))
def test_any_records_and_requests_equal_the_reference(
    steps: list[tuple[int, float, float, bool]],
    requests: list[Request],
    room_sensor: str,
    step_s: float,
    settle_records: int,
) -> None:
    rows, time_ns = [], 1_700_000_000 * SECOND
    for dt_ns, air, room, heater_on in steps:
        time_ns += dt_ns
        rows.append({**_row(0, air, room=room, heater_on=heater_on), "time": time_ns})
    parameters = {"room_sensor": room_sensor, "step_s": step_s, "settle_records": settle_records}
    _assert_same(_stepped(rows, parameters, requests), replay(rows, parameters, requests))


def test_compiled_steps_give_what_plain_python_gives() -> None:
    rows = [_row(3 * i, 22 + 0.05 * i, heater_on=i % 7 < 3) for i in range(200)]
    plain = _stepped(rows)
    twin = PlainTwin(FOLDER)
    authored = [step for step in twin.definition.pipeline if ":" in step.step]
    states = {step.name: new_records(step.state)[0] for step in authored if step.state}
    compiled = {step.name: jitted(load(FOLDER, step.step)) for step in authored}
    (control,) = (step for step in twin.definition.pipeline if step.name == "control")
    machine = BUILT_INS[control.step].bind(control.config)
    states["control"], compiled["control"] = new_records(machine.state)[0], jitted(machine.function)
    p = {**DEFAULTS, "room_sensor": 1}
    plant = [p[name] for name in PLANT_2023]
    for index, row in enumerate(rows):
        box, room = compiled["averaging"](row["t1"], row["t2"], row["t3"], p["room_sensor"])
        start = (p["step_s"], p["noise"], p["x0_heater"], p["x0_air"])
        not_adapted = (False, False, 0.0, 0.0, 0.0)
        heater, air, error, count, loss = compiled["estimation"](
            states["estimation"], box, room, row["heater_on"], 3.0, *plant, *start, *not_adapted
        )
        assert loss == p["G_box"]
        lid_open = compiled["lid"](error, count, p["lid_threshold"], p["settle_records"])
        setpoint = compiled["energy_saver"](states["energy_saver"], error, p["temperature_desired"])
        limits = [p[name] for name in LIMITS]
        assert machine.arguments == ("average_temperature", "setpoint", *LIMITS, "time_ns")
        _, *commands = compiled["control"](states["control"], box, setpoint, *limits, row["time"])
        found = dict(zip(FIELDS, (box, air, heater, error, lid_open, *commands), strict=True))
        for name, value in found.items():
            assert value == pytest.approx(plain[name][index], abs=1e-12), name


def test_the_first_record_predicts_before_it_updates() -> None:
    first = _stepped([_row(0, 21.0, heater_on=True)])
    assert first["T_heater"][0] > 21.1
    assert first["T_air"][0] != 21.0


def test_with_a_real_interval_the_first_record_only_updates() -> None:
    first = _stepped([_row(0, 25.0, heater_on=True)], {"step_s": 0.0})
    assert first["T_heater"][0] == 21.0
    assert first["T_air"][0] == pytest.approx(23.0)  # equal variances: half way


def test_the_lid_counts_as_closed_until_the_filter_has_settled() -> None:
    rows = [_row(3 * i, 35.0 + i) for i in range(20)]
    lid_open = _stepped(rows, {"settle_records": 10})["lid_open"]
    assert lid_open.tolist() == [False] * 9 + [True] * 11


def test_new_parameters_let_the_filter_settle_again() -> None:
    rows = [_row(3 * i, 35.0 + i) for i in range(20)]
    requests: list[Request] = [(15, "parameters", PLANT_2021)]
    lid_open = _stepped(rows, {"settle_records": 4}, requests)["lid_open"]
    assert lid_open.tolist() == [False] * 3 + [True] * 12 + [False] * 3 + [True] * 2


def test_new_parameters_start_at_the_last_heater_estimate_and_the_last_measurement() -> None:
    twin = PlainTwin(FOLDER)
    for i in range(30):
        last = twin.step(_row(3 * i, 26.0, heater_on=True))
    assert twin.request("parameters", PLANT_2021) is None
    transition, drive = matrices(PLANT_2021, 3.0)
    predicted = transition @ [last["T_heater"], 26.0] + drive @ [0.0, 21.0]
    found = twin.step(_row(90, float(predicted[1])))
    assert found["T_heater"] == pytest.approx(predicted[0], abs=1e-9)
    assert found["prediction_error"] == pytest.approx(0.0, abs=1e-9)


def test_new_parameters_before_the_first_record_leave_the_start_values() -> None:
    twin = PlainTwin(FOLDER)
    assert twin.request("parameters", PLANT_2021) is None
    found = twin.step(_row(0, 24.0))
    expected = replay([_row(0, 24.0)], PLANT_2021)
    assert found["T_air"] == pytest.approx(expected["T_air"][0], abs=TOLERANCE_C)


def test_the_heater_goes_off_exactly_when_the_heating_time_is_over_and_on_exactly_after_the_gap() -> None:
    # A tenth of a second has no exact float, and event time as a float is good to some 0.2 us only.
    rows = [_row(0.1 * i, 28.0) for i in range(600)]
    heater = _stepped(rows)["heater_command"]
    changes = np.flatnonzero(np.diff(heater.astype(int), prepend=0)).tolist()
    assert changes == [0, 200, 500]


@pytest.mark.parametrize(("air", "expected"), [(30.0, True), (30.001, False)])
def test_heating_starts_at_the_lower_bound_itself(air: float, expected: bool) -> None:  # noqa: FBT001
    assert _stepped([_row(0, air)])["heater_command"][0] == expected


def test_a_box_that_was_too_hot_stays_off_until_a_reset() -> None:
    twin = PlainTwin(FOLDER)
    hot = [twin.step(_row(3 * i, air)) for i, air in enumerate([57.9, 58.0, 20.0, 20.0])]
    assert [step["overheated"] for step in hot] == [False, True, True, True]
    assert [step["fan_command"] for step in hot] == [True, False, False, False]
    assert not any(step["heater_command"] for step in hot)
    twin.request("reset", {})
    after = twin.step(_row(12, 20.0))
    assert (after["overheated"], after["fan_command"], after["heater_command"]) == (False, True, True)


def test_the_energy_saver_lowers_the_setpoint_only_while_it_is_on_and_the_error_is_large() -> None:
    twin = PlainTwin(FOLDER)
    far = _row(0, 30.0)
    assert twin.step(far)["setpoint"] == 35.0
    twin.request("energy_saver", {"enabled": True})
    lowered = twin.step({**far, "time": far["time"] + 3 * SECOND})
    assert abs(lowered["prediction_error"]) > 1.0
    assert lowered["setpoint"] == pytest.approx(21.0)
    twin.request("energy_saver", {"enabled": False})
    assert twin.step({**far, "time": far["time"] + 6 * SECOND})["setpoint"] == 35.0


@pytest.mark.parametrize("value", [45.0, 45, 60.0, float("nan"), True, "30"])
def test_a_setpoint_of_45_or_nonsense_is_refused(value: object) -> None:
    twin = PlainTwin(FOLDER)
    assert twin.request("temperature_desired", {"temperature_desired": value})
    assert twin.parameters["temperature_desired"] == 35


def test_unused_fields_of_the_state_are_none() -> None:
    twin = PlainTwin(FOLDER)
    for step in twin.definition.pipeline:
        if step.state:
            source = (FOLDER / step.step.partition(":")[0]).read_text()
            assert all(f"state.{name}" in source for name in step.state), step.name
            new_state(step.state)
