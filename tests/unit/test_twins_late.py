"""Late records of a type that flags them: they are stepped and stored, and undo nothing that is known of later."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracle import load_type
from support.stepping import SECOND, START_NS, TWINS, Run, Stepping, put, reading, request, stepped, tick, write_type

from schemas.line_protocol import parse_line
from streams.log.record import LogRecord
from twins.twin_type import TwinType

TWIN = TWINS[0]

VALVE = """\
name: valve
version: 1.0.0
late: flag
missing: {missing}
tick_s: 1
inputs:
  level: {{type: float, max_age_s: 10}}
  open: {{type: bool}}
  feeder: {{type: float}}
pipeline:
  - name: mean
    step: steps.py:mean
    state: {{total: {{}}, records: {{type: int}}}}
    outputs: {{mean: {{}}, twice: {{}}}}
outputs:
  timeseries: {{fields: [level, open, feeder, mean]}}
  metadata: [open]
  events:
    opened: {{when: open}}
    seen: {{when: open, edge: each, data: [level]}}
  commands:
    fill: {{field: level}}
    feed: {{field: feeder, min_interval_s: 2}}
    double: {{field: twice}}
"""

STEPS = """\
def mean(state, level):
    state.total += level
    state.records += 1
    return state.total / state.records, 2 * level
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module", params=["deadletter", "hold_last"])
def valve(request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return _type(tmp_path_factory.mktemp("valve"), cache, request.param)


def _type(folder: Path, cache: Path, missing: str) -> TwinType:
    return load_type(write_type(folder / "valve", VALVE.format(missing=missing), steps=STEPS), "content", cache)


def _commands(run: Run) -> list[tuple[str, Any, int]]:
    sent = [one for one in run.messages("commands") if one["status"] == "issued"]
    return [(one["name"], one["value"], (one["issued_ns"] - START_NS) // SECOND) for one in sent]


def _at(at_s: float, level: float, *, is_open: bool = False, feeder: float = 0.0) -> Any:
    return reading(TWIN, at_s, level=level, open=is_open, feeder=feeder)


def test_an_outdated_record_is_stepped_and_stored_and_undoes_nothing(valve: TwinType) -> None:
    engine = Stepping(valve)
    engine.step(_at(0, 1.0), _at(9, 4.0))
    before = engine.state(TWIN)
    documents, commands = len(engine.run.messages("metadata")), _commands(engine.run)
    run = engine.step(_at(5, 7.0, is_open=True, feeder=3.0))
    after = engine.state(TWIN)
    assert (after.inputs, after.outputs, after.event_time_ns) == (before.inputs, before.outputs, before.event_time_ns)
    assert after.state["mean"] == {"total": 12.0, "records": 3}
    line = parse_line(run.lines()[-1])
    assert line.time_ns == START_NS + 5 * SECOND
    assert line.fields == {"level": 7.0, "open": 1.0, "feeder": 3.0, "mean": 4.0}
    assert (len(run.messages("metadata")), _commands(run)) == (documents, commands)
    assert [(event["name"], event["data"]) for event in run.messages("events")] == [("seen", {"level": 7.0})]
    assert run.counts["late", ""] == 1


def test_neither_the_next_record_nor_a_tick_carries_out_what_was_outdated(valve: TwinType) -> None:
    engine = Stepping(valve)
    engine.step(_at(0, 1.0), _at(9, 4.0), _at(5, 7.0))
    engine.restart()
    run = engine.step(tick(10), _at(11, 4.0))
    assert [value for name, value, _ in _commands(run) if name == "fill"] == [1.0, 4.0]
    assert [value for name, value, _ in _commands(run) if name == "double"] == [2.0, 8.0]


def test_a_late_value_that_is_the_latest_of_its_input_counts_and_limits_go_by_the_twin_s_time(
    cache: Path, tmp_path: Path
) -> None:
    engine = Stepping(_type(tmp_path, cache, "hold_last"))
    engine.step(_at(0, 1.0), reading(TWIN, 9, level=4.0))
    run = engine.step(reading(TWIN, 5, feeder=3.0))
    assert engine.state(TWIN).inputs == {"level": 4.0, "open": False, "feeder": 3.0}
    assert [one[:2] for one in _commands(run) if one[0] == "feed"] == [("feed", 0.0), ("feed", 3.0)]
    engine.restart()
    run = engine.step(reading(TWIN, 4, feeder=2.0), reading(TWIN, 7, feeder=5.0), reading(TWIN, 10, level=4.0))
    assert engine.state(TWIN).inputs["feeder"] == 5.0, "that of second 4 is older than that of second 5"
    assert [one[:2] for one in _commands(run) if one[0] == "feed"][2:] == [], "the last one left at second 9"
    run = engine.step(reading(TWIN, 11, level=4.0))
    assert [one[:2] for one in _commands(run) if one[0] == "feed"][2:] == [("feed", 5.0)]


def test_an_outdated_record_keeps_those_of_its_inputs_that_are_the_latest(cache: Path, tmp_path: Path) -> None:
    engine = Stepping(_type(tmp_path, cache, "hold_last"))
    engine.step(_at(0, 1.0), reading(TWIN, 10, level=4.0))
    documents = len(engine.run.messages("metadata"))
    engine.step(_at(5, 7.0, is_open=True, feeder=3.0), reading(TWIN, 4, level=7.0, feeder=2.0))
    engine.restart()
    assert engine.state(TWIN).inputs == {"level": 4.0, "open": True, "feeder": 3.0}
    assert engine.state(TWIN).outputs["twice"] == 8.0
    assert len(engine.run.messages("metadata")) == documents
    assert "opened" not in [event["name"] for event in engine.run.messages("events")]
    assert [one[:2] for one in _commands(engine.run) if one[0] == "feed"] == [("feed", 0.0)]
    run = engine.step(reading(TWIN, 11, level=4.0), reading(TWIN, 12, level=4.0))
    assert [one["metadata"] for one in run.messages("metadata")[documents:]] == [{"open": True}]
    assert [event["name"] for event in run.messages("events")].count("opened") == 1
    assert [one for one in _commands(run) if one[0] == "feed"][1:] == [("feed", 3.0, 11)]


def test_whether_a_late_value_was_outside_its_limits_is_kept_with_it(cache: Path, tmp_path: Path) -> None:
    text = (
        "name: v\nversion: 1.0.0\nlate: flag\nmissing: hold_last\n"
        "inputs: {a: {}, b: {range: [0, 9], outside: clamp}}\n"
        "outputs: {timeseries: {fields: [a, b, b_outside]}}\n"
    )
    engine = Stepping(load_type(write_type(tmp_path / "v", text), "outside", cache))
    engine.step(reading(TWIN, 0, a=1.0, b=1.0), reading(TWIN, 10, a=2.0))
    run = engine.step(reading(TWIN, 5, a=3.0, b=99.0), reading(TWIN, 11, a=4.0))
    assert parse_line(run.lines()[-1]).fields == {"a": 4.0, "b": 9.0, "b_outside": 1.0}


def test_a_late_record_makes_no_stale_input_fresh(cache: Path, tmp_path: Path) -> None:
    engine = Stepping(_type(tmp_path, cache, "hold_last"))
    engine.step(_at(0, 1.0), reading(TWIN, 20, feeder=1.0))
    assert engine.state(TWIN).status == "stale"
    engine.step(reading(TWIN, 8, open=True))
    assert engine.state(TWIN).status == "stale"
    engine.step(reading(TWIN, 15, level=1.0))
    assert engine.state(TWIN).status == "ok", "that is its latest value, five seconds before the twin's time"


def test_what_was_measured_before_a_command_left_does_not_confirm_it_however_late_it_comes(
    cache: Path, tmp_path: Path
) -> None:
    text = VALVE.replace("field: feeder, min_interval_s: 2", "field: level, confirm: {{field: feeder, within_s: 5}}")
    folder = write_type(tmp_path / "valve", text.format(missing="hold_last"), steps=STEPS)
    engine = Stepping(load_type(folder, "confirming", cache))
    engine.step(_at(0, 0.0, feeder=9.0), reading(TWIN, 10, level=4.0))

    def confirmed() -> list[int]:
        events = engine.run.messages("events")
        return [event["cause"]["offset"] for event in events if event["name"] == "command_acknowledged"]

    engine.step(reading(TWIN, 8, feeder=4.0))
    assert confirmed() == []
    engine.step(reading(TWIN, 11, feeder=4.0))
    assert confirmed() == [3]


GUARDED = VALVE.replace(
    "fill: {{field: level}}",
    "fill: {{field: level, max_rate: 1, min_interval_s: 1.5, interlocks: {{shut: not open}}, refresh_s: 6,"
    " confirm: {{field: feeder, within_s: 3}}}}",
).replace("feeder: {{type: float}}", "feeder: {{type: float, default: 1.0}}")

_fields = st.fixed_dictionaries(
    {},
    optional={
        "level": st.sampled_from([0.0, 1.0, 1.5, 4.0]),
        "open": st.booleans(),
        "feeder": st.sampled_from([0.0, 1.0, 4.0]),
    },
)
_steps = st.lists(
    st.tuples(st.sampled_from(["record"] * 6 + ["tick", "reset", "put"]), st.integers(-6, 4), _fields),
    min_size=1,
    max_size=30,
)


@pytest.fixture(scope="module")
def guarded(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    folder = tmp_path_factory.mktemp("guarded") / "valve"
    return load_type(write_type(folder, GUARDED.format(missing="hold_last"), steps=STEPS), "guarded", cache)


def _made(steps: list[tuple[str, int, dict[str, Any]]]) -> list[LogRecord]:
    made, now = [], 0
    for index, (what, ahead, fields) in enumerate(steps):
        match what:
            case "tick":
                made.append(tick(index))
            case "reset":
                made.append(request(TWIN, "reset", f"r{index}"))
            case "put":
                made.append(put(TWIN, {}, record_id=f"p{index}"))
            case _:
                now = max(0, now + ahead)
                made.append(reading(TWIN, now, **fields, seq=index))
    return made


@given(_steps, st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=6))
@settings(max_examples=100, deadline=None)
def test_cuts_and_restarts_change_nothing_of_late_records_limits_and_ticks(
    guarded: TwinType, given_steps: list[tuple[str, int, dict[str, Any]]], cuts: list[tuple[int, bool]]
) -> None:
    made = _made(given_steps)
    whole, cut = stepped(guarded, made), stepped(guarded, made, cuts)
    assert cut.result.states == whole.result.states
    assert cut.result.outputs == whole.result.outputs
    assert cut.counts == whole.counts


@given(_steps)
@settings(max_examples=100, deadline=None)
def test_no_late_record_makes_the_twin_s_values_older(
    guarded: TwinType, given_steps: list[tuple[str, int, dict[str, Any]]]
) -> None:
    engine = Stepping(guarded)
    latest: dict[str, tuple[int, Any]] = {}
    for index, item in enumerate(_made(given_steps)):
        before = dict(engine.run.counts)
        engine.step(item._replace(offset=index))
        if given_steps[index][0] != "record" or engine.run.counts["accepted", ""] == before.get(("accepted", ""), 0):
            continue
        fields = given_steps[index][2]
        at_ns = msgspec.json.decode(item.value or b"")["time"]
        latest |= {
            name: (at_ns, value) for name, value in fields.items() if name not in latest or at_ns >= latest[name][0]
        }
        shown = engine.state(TWIN).inputs
        assert {name: shown[name] for name in latest} == {name: value for name, (_, value) in latest.items()}
