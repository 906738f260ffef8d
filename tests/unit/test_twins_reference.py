"""Compiled twins against independent implementations: every line, command and event, through the processor."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from reference.incubator_reference import FIELDS, PLANT_2021, PLANT_2023, Request, replay
from reference.plain_twin import EXAMPLES, PlainTwin
from reference.recordings import ROOM_T1, ROOM_T3, read_recording, recordings_folder
from support import stepping
from support.oracle import load_type
from support.stepping import SECOND, TWINS, Run, Stepping, put, record, request

from schemas.line_protocol import parse_line
from twins.twin_type import TwinType

TWIN = TWINS[0]
TANK = Path(__file__).parents[1] / "types" / "tank"
TOLERANCE_C = 1e-9
REFRESH_NS = 30 * SECOND
STORED = FIELDS[:-1]
REQUESTS: list[Request] = [
    (50, "temperature_desired", {"temperature_desired": 45.0}),
    (60, "temperature_desired", {"temperature_desired": 30.0}),
    (100, "parameters", PLANT_2023),
    (180, "parameters", {**PLANT_2021, "G_box": 0.9}),
    (200, "energy_saver", {"enabled": True}),
    (260, "reset", {}),
    (300, "energy_saver", {"enabled": True}),
    (400, "energy_saver", {"enabled": False}),
]
CASES = [
    pytest.param(ROOM_T3, {}, [], id="2023"),
    pytest.param(ROOM_T3, {"step_s": 0.0, "noise": 0.0005}, [], id="2023-real-interval"),
    pytest.param(ROOM_T1, {**PLANT_2021, "room_sensor": "t1"}, [], id="2021"),
    pytest.param(ROOM_T1, {**PLANT_2021, "room_sensor": "t1"}, REQUESTS, id="2021-with-requests"),
]


@pytest.fixture(scope="module")
def folder() -> Path:
    found = recordings_folder()
    if found is None:
        pytest.skip("no recordings: set TWINSTREAM_RECORDINGS")
    return found


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def incubator(cache: Path) -> TwinType:
    return load_type(EXAMPLES / "incubator", "incubator", cache)


def _replayed(
    twin_type: TwinType, rows: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], requests: Sequence[Request]
) -> Run:
    pending = list(requests)
    made = [put(TWIN, dict(parameters))] if parameters else []
    for index, row in enumerate(rows):
        while pending and pending[0][0] <= index:
            _, name, arguments = pending.pop(0)
            made.append(request(TWIN, name, f"request-{index}", **arguments))
        made.append(record(TWIN, msgspec.json.encode(row), received_ns=row["time"]))
    engine = Stepping(twin_type)
    for start in range(0, len(made), 333):
        engine.step(*made[start : start + 333])
    return engine.run


def _series(run: Run, fields: Sequence[str]) -> tuple[list[int | None], dict[str, np.ndarray]]:
    points = [parse_line(line) for line in run.lines()]
    assert {(point.measurement, tuple(point.tags.items())) for point in points} == {
        (points[0].measurement, (("twin", TWIN.decode()),))
    }
    return [point.time_ns for point in points], {
        name: np.array([point.fields[name] for point in points], float) for name in fields
    }


def _expected_commands(times: list[int], values: Sequence[bool], resets: set[int]) -> list[tuple[int, bool]]:
    """First record, change, and at least 30 s of event time after the last; a reset begins anew."""
    sent: list[tuple[int, bool]] = []
    last: tuple[int, bool] | None = None
    for index, (time_ns, value) in enumerate(zip(times, values, strict=True)):
        if index in resets:
            last = None
        if last is None or value != last[1] or time_ns - last[0] >= REFRESH_NS:
            last = (time_ns, value)
            sent.append(last)
    return sent


def _edges(times: list[int], values: Sequence[bool], rising: bool, resets: set[int]) -> list[int]:  # noqa: FBT001
    found, before = [], False
    for index, (time_ns, value) in enumerate(zip(times, values, strict=True)):
        before = before and index not in resets
        if bool(value) != before and bool(value) == rising:
            found.append(time_ns)
        before = bool(value)
    return found


@pytest.mark.recordings
@pytest.mark.parametrize(("file", "parameters", "requests"), CASES)
def test_the_compiled_incubator_equals_the_reference_on_recorded_telemetry(
    incubator: TwinType, folder: Path, file: str, parameters: dict[str, Any], requests: list[Request]
) -> None:
    rows = read_recording(folder / file)
    expected = replay(rows, parameters, requests)
    run = _replayed(incubator, rows, parameters, requests)
    times = [int(row["time"]) for row in rows]

    stamped, found = _series(run, STORED)
    assert stamped == times
    for name in STORED:
        np.testing.assert_allclose(found[name], expected[name].astype(float), rtol=0, atol=TOLERANCE_C, err_msg=name)

    resets = {index for index, name, _ in requests if name == "reset"}
    commands = run.messages("commands")
    for name in ("heater", "fan"):
        sent = [(command["issued_ns"], command["value"]) for command in commands if command["name"] == name]
        assert sent == _expected_commands(times, expected[f"{name}_command"].tolist(), resets), name
    assert len({command["id"] for command in commands}) == len(commands)
    assert all(command["expires_ns"] == command["issued_ns"] + 30 * SECOND for command in commands)

    events = run.messages("events")
    for name, field, rising in (
        ("lid_opened", "lid_open", True),
        ("lid_closed", "lid_open", False),
        ("overheated", "overheated", True),
    ):
        seen = [event["event_time_ns"] for event in events if event["name"] == name]
        assert seen == _edges(times, expected[field].tolist(), rising, resets), name
    answers = [event["name"] for event in events if event["name"].startswith("request_")]
    refused = [name == "temperature_desired" and given["temperature_desired"] >= 45 for _, name, given in requests]
    assert answers == ["request_rejected" if no else "request_accepted" for no in refused]


@pytest.mark.recordings
def test_the_recording_with_the_lid_has_lid_events_and_heating(incubator: TwinType, folder: Path) -> None:
    rows = read_recording(folder / ROOM_T1)
    run = _replayed(incubator, rows, {**PLANT_2021, "room_sensor": "t1"}, [])
    names = [event["name"] for event in run.messages("events")]
    assert names.count("lid_opened") == names.count("lid_closed") == 2
    data = next(event["data"] for event in run.messages("events") if event["name"] == "lid_opened")
    assert data.keys() == {"prediction_error", "average_temperature"}
    assert abs(data["prediction_error"]) > 1.0


def test_the_compiled_tank_equals_its_plain_python(cache: Path) -> None:
    twin_type = load_type(TANK, "tank", cache)
    plain = PlainTwin(TANK, {"area": 2.0})
    random = np.random.default_rng(3)
    stored = twin_type.definition.outputs.timeseries.fields
    made, expected = [put(TWIN, {"area": 2.0})], []
    time_ns, level = stepping.START_NS, 2.0
    for index in range(2000):
        time_ns += int(random.integers(1, 5)) * SECOND // 2
        level = min(3.5, max(0.5, level + random.normal(0, 0.05)))
        if index == 900:
            made.append(request(TWIN, "level_desired", level_desired=2.4))
            assert plain.request("level_desired", {"level_desired": 2.4}) is None
        if index == 1500:
            made.append(request(TWIN, "reset"))
            assert plain.request("reset", {}) is None
        values = {"level_m": level, "inflow": float(random.random()) / 100, "outflow": float(random.random()) / 100}
        # A reset keeps what the row knows about time; the plain twin does too.
        expected.append({**values, **plain.step({"time": time_ns, **values})})
        made.append(record(TWIN, msgspec.json.encode({"time": time_ns, **values})))
    engine = Stepping(twin_type)
    for start in range(0, len(made), 171):
        engine.step(*made[start : start + 171])
    _, found = _series(engine.run, stored)
    for name in stored:
        np.testing.assert_allclose(found[name], [float(row[name]) for row in expected], rtol=0, atol=1e-9, err_msg=name)
    pumped = [command["value"] for command in engine.run.messages("commands") if command["name"] == "pump"]
    assert {True, False} <= set(pumped)
    assert not any(math.isnan(value) for values in found.values() for value in values)
