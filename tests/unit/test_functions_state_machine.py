"""The state machine against an interpreter of its own transitions, and what `check` says of faulty ones."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from reference.jitted import jitted
from reference.plain_twin import EXAMPLES
from support.oracle import load_type
from support.stepping import START_NS as STEPPING_START_NS
from support.stepping import TWINS, Stepping, put, reading, tick, write_type

from twins.check import check_folder
from twins.functions.registry import BUILT_INS
from twins.functions.testing import new_records, new_state
from twins.layout import named

START_NS = 1_700_000_000 * 10**9 + 7
STATES = ["a", "b", "c", "d"]
GUARDS = ["x > 0", "x <= 0", "not ok", "ok or x == 2", "elapsed_s >= 0.3", "records_in_state == 2", "x - 1 < y", "true"]
TURNSTILE: dict[str, Any] = {
    "states": ["locked", "open", "alarm"],
    "transitions": [
        {"from": "*", "to": "alarm", "when": "push and x > 5"},
        {"from": "locked", "to": "open", "when": "coin"},
        {"from": "open", "to": "locked", "when": "push"},
        {"from": "open", "to": "locked", "after_s": 20},
        {"from": "alarm", "to": "locked", "after_s": "patience_s", "when": "not push"},
    ],
    "values": {"open": {"lamp": True}, "alarm": {"siren": 2, "volume": 0.5}, "locked": {"siren": 1}},
}


def _interpreted(config: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """State and values after each record, with text conditions evaluated by Python and time as exact fractions."""
    states = list(config["states"])
    names = list(dict.fromkeys(name for values in config.get("values", {}).values() for name in values))
    state = config.get("initial", states[0])
    entered = latest = None
    waits: dict[int, Fraction] = {}
    count = 0
    found = []

    def leaves(way: Mapping[str, Any]) -> bool:
        source = way["from"]
        return (source == "*" and way["to"] != state) or state == source or (source != "*" and state in source)

    def enter(record: Mapping[str, Any]) -> None:
        waits.clear()
        for index, way in enumerate(config["transitions"]):
            wait = way.get("after_s", 0)
            seconds = record[wait] if isinstance(wait, str) else wait
            waits[index] = Fraction(round(max(seconds, 0) * 1e9), 10**9)

    for record in records:
        now = Fraction(record["time_ns"], 10**9)
        latest = now if latest is None else max(now, latest)
        if entered is None:
            entered = latest
            enter(record)
        count += 1
        scope = {**record, "elapsed_s": float(latest - entered), "records_in_state": count, "true": True}
        for index, way in enumerate(config["transitions"]):
            guard = eval(str(way.get("when", "true")), {}, scope)  # noqa: S307 - of this file
            if leaves(way) and latest - entered >= waits[index] and guard:
                state, entered, count = way["to"], latest, 0
                enter(record)
                break
        values = [config.get("values", {}).get(state, {}).get(name, 0) for name in names]
        found.append((states.index(state), *values))
    return found


def _stepped(config: Mapping[str, Any], records: Sequence[Mapping[str, Any]], *, compiled: bool = False) -> list[Any]:
    bound = BUILT_INS["state_machine"].bind(config)
    function = jitted(bound.function) if compiled else bound.function
    state = new_records(bound.state)[0] if compiled else new_state(bound.state)
    found = [function(state, *(record[name] for name in bound.arguments)) for record in records]
    return [result if isinstance(result, tuple) else (result,) for result in found]


def _at(seconds: float, **values: Any) -> dict[str, Any]:
    return {
        "time_ns": START_NS + round(seconds * 1e9),
        "coin": False,
        "push": False,
        "x": 0.0,
        "patience_s": 1.0,
    } | values


transitions = st.fixed_dictionaries(
    {"to": st.sampled_from(STATES)},
    optional={
        "when": st.sampled_from(GUARDS),
        "after_s": st.sampled_from([0, 0.1, 0.3, 1.0, "hold_s"]),
    },
).flatmap(
    lambda way: st.one_of(
        st.just("*"), st.sampled_from(STATES), st.lists(st.sampled_from(STATES), min_size=1, max_size=3)
    ).map(lambda source: {"from": source, **way})
)
records = st.lists(
    st.fixed_dictionaries(
        {
            # Tenths of a second have no exact float; and late records.
            "dt_ns": st.sampled_from([0, 100_000_000, 100_000_000, 200_000_000, 1, -100_000_000]),
            "x": st.sampled_from([-1.0, 0.0, 1.0, 2.0]),
            "y": st.sampled_from([-1.0, 1.5]),
            "ok": st.booleans(),
            "hold_s": st.sampled_from([-1.0, 0.0, 0.1, 0.7]),
        }
    ),
    min_size=1,
    max_size=40,
)


def _timed(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    time_ns, made = START_NS, []
    for step in steps:
        time_ns += step["dt_ns"]
        made.append({**step, "time_ns": time_ns})
    return made


def _bindable(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The machine with ways to every state and without those that are never taken; None if that is not enough."""
    ways = list(config["transitions"])
    ways += [{"from": "*", "to": state, "when": f"x == {index - 1} and y > 1"} for index, state in enumerate(STATES)]
    made = {**config, "transitions": ways}
    while True:
        try:
            BUILT_INS["state_machine"].bind(made)
        except ValidationError as error:
            never = [item["loc"][1] for item in error.errors() if item["loc"][0] == "transitions"]
            if not never:
                return None
            made["transitions"] = [way for index, way in enumerate(made["transitions"]) if index not in never]
        else:
            return made


machines = st.fixed_dictionaries(
    {
        "states": st.just(STATES),
        "initial": st.sampled_from(STATES),
        "transitions": st.lists(transitions, min_size=1, max_size=8),
        "values": st.just({"a": {"v": True}, "c": {"v": False, "w": 2}, "d": {"w": -0.5}}),
    }
)


@settings(max_examples=150)
@given(machines, records)
def test_any_machine_goes_where_its_transitions_say(config: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    made = _bindable(config)
    if made is not None:
        assert _stepped(made, _timed(steps)) == _interpreted(made, _timed(steps))


@settings(max_examples=100)
@given(records)
def test_the_first_enabled_transition_is_taken_and_only_one_a_record(steps: list[dict[str, Any]]) -> None:
    made = [
        {**record, "coin": record["ok"], "push": record["x"] > 0, "x": 3 * record["x"], "patience_s": record["hold_s"]}
        for record in _timed(steps)
    ]
    found = _stepped(TURNSTILE, made)
    assert found == _interpreted(TURNSTILE, made)
    for (before, *_), (after, *_), record in zip([(0,), *found], found, made, strict=False):
        if record["push"] and record["x"] > 5:
            assert after == 2
        elif before == 0:
            assert after == (1 if record["coin"] else 0)


def test_the_compiled_machine_gives_what_plain_python_gives() -> None:
    steps = [
        {"coin": index % 3 == 0, "push": index % 5 == 1, "x": float(index % 7), "patience_s": 0.1 * (index % 4)}
        for index in range(300)
    ]
    made = [_at(0.1 * index - (5 if index % 50 == 0 else 0), **step) for index, step in enumerate(steps)]
    config = {**TURNSTILE, "report": ["changed", "elapsed_s", "records_in_state"]}
    found = _stepped(config, made, compiled=True)
    assert found == _stepped(config, made)
    assert {0, 1, 2} == {result[0] for result in found}
    assert [result[:4] for result in found] == _interpreted(TURNSTILE, made)


def test_a_wait_is_over_exactly_when_its_time_is_and_counts_as_it_was_at_the_beginning() -> None:
    config = {
        "states": ["rest", "work"],
        "transitions": [{"from": "rest", "to": "work", "after_s": 0.3}, {"from": "work", "to": "rest", "after_s": "w"}],
        "report": ["changed", "elapsed_s", "records_in_state"],
    }
    made = [{**_at(0.1 * index), "w": 0.2 if index == 3 else 50.0} for index in range(7)]
    assert _stepped(config, made) == [
        (0, False, 0.0, 1),
        (0, False, 0.1, 2),
        (0, False, 0.2, 3),
        (1, True, 0.0, 0),
        (1, False, 0.1, 1),
        (0, True, 0.0, 0),
        (0, False, 0.1, 1),
    ]


@pytest.mark.parametrize(("guard", "index"), [("elapsed_s >= 0.3", 3), ("elapsed_s > 0.3", 4)])
def test_seconds_compare_as_they_are_written(guard: str, index: int) -> None:
    config = {"states": ["a", "b"], "transitions": [{"from": "a", "to": "b", "when": guard}]}
    states = [state for (state,) in _stepped(config, [_at(0.1 * step) for step in range(6)])]
    assert states.index(1) == index


def test_a_late_record_turns_no_time_back() -> None:
    config = {"states": ["a", "b"], "transitions": [{"from": "a", "to": "b", "after_s": 10}], "report": ["elapsed_s"]}
    made = [_at(0), _at(8), _at(3), _at(9.5), _at(10)]
    assert _stepped(config, made) == [(0, 0.0), (0, 8.0), (0, 8.0), (0, 9.5), (1, 0.0)]


def test_a_transition_to_the_same_state_begins_it_anew() -> None:
    config = {
        "states": ["watch", "bark"],
        "transitions": [
            {"from": "watch", "to": "watch", "when": "coin"},
            {"from": "watch", "to": "bark", "after_s": 5},
        ],
    }
    made = [_at(0), _at(4, coin=True), _at(8), _at(9)]
    assert [state for (state,) in _stepped(config, made)] == [0, 0, 0, 1]


def test_a_row_of_a_version_with_more_states_begins_anew() -> None:
    bound = BUILT_INS["state_machine"].bind(TURNSTILE)
    state = new_state(bound.state)
    state.started, state.state = True, 7
    arguments = _at(0)
    assert bound.function(state, *(arguments[name] for name in bound.arguments))[0] == 0


def test_a_row_of_a_version_without_times_keeps_its_state_and_begins_its_time() -> None:
    bound = BUILT_INS["state_machine"].bind(TURNSTILE)
    state = new_state(bound.state)
    state.state = 2
    made = [_at(0), _at(0.9), _at(1)]
    found = [bound.function(state, *(record[name] for name in bound.arguments))[0] for record in made]
    assert found == [2, 2, 0]


def test_a_row_keeps_only_what_the_machine_needs() -> None:
    def kept(**changes: Any) -> tuple[set[str], bool]:
        ways = [{"from": "a", "to": "b", **changes}, {"from": "b", "to": "a", "when": "x > 1"}]
        bound = BUILT_INS["state_machine"].bind({"states": ["a", "b"], "transitions": ways})
        return set(bound.state), "time_ns" in bound.arguments

    timed = {"state", "started", "entered_ns", "latest_ns"}
    assert kept(when="x < 1") == ({"state"}, False)
    assert kept(when="records_in_state > 3") == ({"state", "records"}, False)
    assert kept(when="elapsed_s > 3") == (timed, True)
    assert kept(after_s=3) == (timed, True)
    assert kept(after_s="w") == (timed | {"waits_ns"}, True)


def _way(**changes: Any) -> dict[str, Any]:
    return {"states": ["a", "b"], "transitions": [{"from": "a", "to": "b", **changes}]}


@pytest.mark.parametrize(
    ("config", "place", "message"),
    [
        ({"states": ["a"], "transitions": [{"from": "a", "to": "a"}]}, "states", "name at least 2"),
        ({**_way(), "states": ["a", "b", "a"]}, "states.2", "a second state a"),
        ({**_way(), "states": ["a", "b c", "b"]}, "states.1", "must be of letters"),
        ({**_way(), "states": ["a", "b", "c"]}, "states.2", "nothing leads to c from a"),
        ({**_way(), "initial": "c"}, "initial", "no state c"),
        ({**_way(), "initial": "b"}, "states.0", "nothing leads to a from b"),
        ({"states": ["a", "b"], "transitions": []}, "transitions", "name at least 1"),
        ({"states": ["a", "b"], "transitions": [{"to": "b"}]}, "transitions.0.from", "Field required"),
        (_way(to="c"), "transitions.0.to", "no state c"),
        ({"states": ["a", "b"], "transitions": [{"from": "x", "to": "b"}]}, "transitions.0.from", "no state x"),
        ({"states": ["a", "b"], "transitions": [{"from": ["a", "*"], "to": "b"}]}, "transitions.0.from", "no state *"),
        ({"states": ["a", "b"], "transitions": [{"from": [], "to": "b"}]}, "transitions.0.from", "name at least 1"),
        (_way(when="x >"), "transitions.0.when", "is no condition"),
        (_way(when="x + 1"), "transitions.0.when", "is a number"),
        (_way(when="elapsed_s"), "transitions.0.when", "elapsed_s is a number"),
        (_way(when=3), "transitions.0.when", "must be a condition"),
        (_way(when="state > 1"), "transitions.0.when", "state can't name an argument"),
        (_way(when="open('x') > 1"), "transitions.0.when", "not permitted"),
        (_way(after_s=-1), "transitions.0.after_s", "seconds from 0"),
        (_way(after_s=float("nan")), "transitions.0.after_s", "seconds from 0"),
        (_way(after_s=True), "transitions.0.after_s", "seconds from 0"),
        (_way(after_s="5 min"), "transitions.0.after_s", "must be of letters"),
        (_way(after_s="elapsed_s"), "transitions.0.after_s", "can't name an argument"),
        (_way(until="x"), "transitions.0.until", "not permitted"),
        ({**_way(), "transitions": [*_way()["transitions"], *_way()["transitions"]]}, "transitions.1", "never taken"),
        ({**_way(), "values": {"c": {"heat": True}}}, "values.c", "no state c"),
        ({**_way(), "values": {"a": {"heat": "yes"}}}, "values.a.heat", "must be true, false or a number"),
        ({**_way(), "values": {"a": {"heat": 1e300}}}, "values.a.heat", "must be true, false or a number"),
        ({**_way(), "values": {"a": {"heat": True}, "b": {"heat": 1}}}, "values.b.heat", "make all of them|is true in"),
        ({**_way(), "report": ["age"]}, "report.0", "changed"),
    ],
)
def test_a_faulty_machine_is_refused_at_the_faulty_place(config: dict[str, Any], place: str, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        BUILT_INS["state_machine"].bind(config)
    (found,) = refused.value.errors()
    assert ".".join(map(str, found["loc"])) == place
    assert any(part in found["msg"] for part in message.split("|"))


DEFINITION = """\
name: faulty
version: 1.0.0
inputs:
  level: {}
parameters:
  rest_s: {type: float, default: 3.0}
pipeline:
  - name: pump
    step: state_machine
    outputs: [mode, running]
    config:
      states: [idle, busy, broken]
      transitions:
        - {from: idle, to: busy, when: levle > 3}
        - from: busy
          to: idle
          when: level
          after_s: rest
        - {from: busy, to: broken, when: not dt_s}
      values:
        busy: {running: true}
  - name: fan
    step: state_machine
    outputs: [gear]
    config:
      states: [low, high]
      transitions:
        - {from: low, to: hihg, when: level > 3}
        - {from: high, to: low}
outputs:
  timeseries: {fields: [level]}
"""


def test_the_check_finds_every_fault_of_a_machine_at_its_line(tmp_path: Path) -> None:
    problems = check_folder(write_type(tmp_path / "faulty", DEFINITION))
    assert [(problem.line, problem.path) for problem in problems] == [
        (10, "pipeline.0.outputs.running.type"),
        (14, "pipeline.0.config.transitions.0.when"),
        (17, "pipeline.0.config.transitions.1.when"),
        (18, "pipeline.0.config.transitions.1.after_s"),
        (19, "pipeline.0.config.transitions.2.when"),
        (28, "pipeline.1.config.transitions.0.to"),
    ]
    assert "levle, which is no field" in problems[1].message
    assert "level is float, not true or false" in problems[2].message
    assert (problems[5].message, problems[5].remedy) == ("no state hihg", "states are low, high")


AROUND = """\
name: well
version: 1.0.0
inputs:
  level: {unit: m}
  inflow: {}
  pump_on: {type: bool}
parameters:
  level_desired: {unit: m, default: 2}
  longest_s: {unit: s, default: 60}
pipeline:
"""


def test_the_machine_of_the_guide_passes_the_check(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "write-a-twin.md").read_text()
    (block,) = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "step: state_machine" in text]
    assert check_folder(write_type(tmp_path / "well", AROUND + block)) == []


DOOR = """\
name: door
version: 1.0.0
tick_s: 1
inputs:
  open: {type: bool}
pipeline:
  - name: watch
    step: state_machine
    runs_on: both
    config:
      states: [shut, opened, alarm]
      transitions:
        - {from: "*", to: shut, when: not open}
        - {from: shut, to: opened, when: open}
        - {from: opened, to: alarm, after_s: 10}
      values:
        alarm: {alarm: true}
    outputs:
      door: {type: int}
      alarm: {type: bool}
outputs:
  timeseries: {fields: [door, alarm]}
  events:
    alarm: {when: alarm, data: [door]}
"""


def test_a_machine_that_runs_on_ticks_goes_on_while_nothing_comes(tmp_path: Path) -> None:
    twin_type = load_type(write_type(tmp_path / "door", DOOR), "door", tmp_path / "kernels")
    engine = Stepping(twin_type)
    engine.step(reading(TWINS[0], 0.0, open=False), tick(0.25), reading(TWINS[0], 0.75, open=True))
    engine.step(*(tick(second + 0.25) for second in range(1, 15)))
    engine.step(reading(TWINS[0], 20.0, open=False), tick(20.25))
    (event,) = [event for event in engine.run.messages("events") if event["name"] == "alarm"]
    assert event["event_time_ns"] - STEPPING_START_NS == 11_250_000_000
    assert [line.split()[1] for line in engine.run.lines()] == [f"door={n}.0,alarm=0.0" for n in (0, 1, 0)]


NAMED = """\
name: lamp
version: 1.0.0
inputs:
  bright: {type: bool}
pipeline:
  - name: day
    step: state_machine
    config:
      states: [night, day]
      transitions:
        - {from: night, to: day, when: bright}
        - {from: day, to: night, when: not bright}
    outputs: {phase: {type: int}}
outputs:
  timeseries: {fields: [phase]}
  metadata: [phase]
  events: {dawn: {when: bright, data: [phase]}}
"""


def test_people_are_told_the_name_of_a_state_and_series_hold_its_index(tmp_path: Path) -> None:
    engine = Stepping(load_type(write_type(tmp_path / "lamp", NAMED), "lamp", tmp_path / "kernels"))
    twin = TWINS[0]
    engine.step(put(twin, {}))
    assert (engine.state(twin).state, engine.state(twin).outputs) == ({"day": {"state": "night"}}, {"phase": None})
    run = engine.step(reading(twin, 0, bright=True))
    assert (engine.state(twin).state, engine.state(twin).outputs) == ({"day": {"state": "day"}}, {"phase": "day"})
    assert [event["data"] for event in run.messages("events") if event["name"] == "dawn"] == [{"phase": "day"}]
    assert run.messages("metadata")[-1]["metadata"] == {"phase": "day"}
    assert "phase=1.0" in run.lines()[-1]


def test_an_index_that_stands_for_no_state_is_told_as_it_is() -> None:
    assert [named(index, ("a", "b")) for index in (-1, 0, 1, 2)] == [-1, "a", "b", 2]
