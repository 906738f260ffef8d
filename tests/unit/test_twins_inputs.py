"""What inputs outside their limits and inputs that grow old mean."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import stepping
from support.oracle import load_type
from support.stepping import SECOND, START_NS, TWINS, Stepping, reading, record, request, stepped, tick

from schemas.definition_file import examine
from twins.twin_type import TwinType

A = TWINS[0]
DEFINITION = """\
name: probe
version: 1.0.0
tick_s: 1
missing: {missing}
inputs:
  level: {{unit: m, range: [-1.5, 8], outside: {outside}, max_age_s: 5}}
  count: {{type: int, above: 0, below: 9.5, outside: {outside}}}
  hot: {{type: bool, max_age_s: 2.5}}
pipeline:
  - name: seen
    step: steps.py:seen
    runs_on: both
    inputs: {{silent: level_stale, outside: level_outside}}
    state: {{highest: {{}}, times: {{type: int}}}}
    outputs: {{highest: {{}}, times: {{type: int}}}}
outputs:
  timeseries: {{fields: [level, count, level_outside, count_outside, level_stale]}}
  events:
    stale: {{when: level_stale, data: [level, hot_stale]}}
    outside: {{when: level_outside, edge: both, data: [level]}}
"""
STEPS = """\
def seen(state, level, silent, outside):
    state.highest = max(state.highest, level)
    state.times += outside and not silent
    return state.highest, state.times
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


def _type(folder: Path, cache: Path, outside: str, missing: str, *, compiled: bool = True) -> TwinType:
    definition = DEFINITION.format(outside=outside, missing=missing)
    if not compiled:
        definition = definition.replace("runs_on: both", "runs_on: both\n    compiled: false")
    if outside == "refuse":
        definition = (
            definition.replace("level_outside", "hot").replace("count_outside", "hot").replace("hot, hot", "hot")
        )
    stepping.write_type(folder, definition, steps=STEPS)
    return load_type(folder, f"{outside}-{missing}-{compiled}", cache)


@pytest.fixture(
    scope="module",
    params=[(outside, missing) for outside in ("clamp", "flag") for missing in ("deadletter", "hold_last")],
)
def probe(request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return _type(tmp_path_factory.mktemp("probe"), cache, *request.param)


@pytest.fixture(scope="module", params=[True, False], ids=["compiled", "uncompiled"])
def clamping(request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return _type(tmp_path_factory.mktemp("clamping"), cache, "clamp", "hold_last", compiled=request.param)


levels = st.sampled_from([-1.5, 8.0, 8.5, -2.0, 1e300, -0.0, 0.0]) | st.floats(-20, 20)
counts = st.integers(-3, 12)
values = st.fixed_dictionaries({"level": levels, "count": counts, "hot": st.booleans()})
WAYS = ("flat", "extra", "influx", "line")


def _payload(way: str, fields: dict[str, Any], time_ns: int) -> bytes:
    match way:
        case "extra":
            return msgspec.json.encode({**fields, "time": time_ns, "more": [1]})
        case "influx":
            return msgspec.json.encode({"measurement": "m", "time": time_ns, "fields": fields})
        case "line":
            level, count, hot = fields["level"], fields["count"], str(fields["hot"]).lower()
            return f"probe level={level!r},count={count}i,hot={hot} {time_ns}".encode()
    return msgspec.json.encode({**fields, "time": time_ns})


@given(st.lists(values, min_size=1, max_size=8), st.data())
@settings(max_examples=80)
def test_every_decoder_and_plain_python_agree_on_what_is_outside(
    probe: TwinType, given_values: list[dict[str, Any]], data: st.DataObject
) -> None:
    declared = probe.definition.inputs
    clamps = declared["level"].outside == "clamp"
    made, expected = [], []
    for index, fields in enumerate(given_values):
        way = data.draw(st.sampled_from(WAYS))
        made.append(record(A, _payload(way, fields, START_NS + index * SECOND))._replace(offset=index))
        low, high = fields["level"] < -1.5, fields["level"] > 8
        few, many = fields["count"] < 1, fields["count"] > 9
        level = (-1.5 if low else 8.0 if high else fields["level"]) if clamps else fields["level"]
        count = (1 if few else 9 if many else fields["count"]) if clamps else fields["count"]
        expected.append((float(level), float(count), low or high, few or many, False))
    run = stepped(probe, made, [(data.draw(st.integers(0, 8)), data.draw(st.booleans()))])
    assert run.counts["accepted", ""] == len(made)
    lines = [line.split()[1].split(",") for line in run.lines()]
    found = [tuple(float(field.partition("=")[2]) for field in fields) for fields in lines]
    assert found == [tuple(map(float, row)) for row in expected]


def test_refused_values_stay_dead_letters(cache: Path, tmp_path: Path) -> None:
    twin_type = _type(tmp_path, cache, "refuse", "deadletter")
    run = stepped(twin_type, [reading(A, 0, level=9.0, count=1, hot=True)._replace(offset=0)])
    assert [letter["reason"] for letter in run.messages("deadletter")] == ["out_of_range"]
    assert twin_type.definition.implied().keys() == {"level_stale", "hot_stale"}


def test_a_field_of_an_input_is_wired_stored_and_raises_events(clamping: TwinType) -> None:
    engine = Stepping(clamping)
    engine.step(*(reading(A, at_s, level=level, count=1, hot=True) for at_s, level in enumerate([1.0, 9.0, 12.0, 2.0])))
    events = [(event["name"], event["data"]["level"]) for event in engine.run.messages("events")]
    assert events == [("outside", 8.0), ("outside", 2.0)]
    assert engine.state(A).outputs["times"] == 2
    assert engine.state(A).outputs["level_outside"] is False


def test_a_held_value_stays_outside_and_its_age_counts_from_its_own_record(clamping: TwinType) -> None:
    engine = Stepping(clamping)
    engine.step(reading(A, 0, level=9.0, count=1, hot=True), reading(A, 3, hot=True), reading(A, 5, count=3))
    outputs = engine.state(A).outputs
    assert (outputs["level_outside"], outputs["level_stale"], outputs["hot_stale"]) == (True, False, False)
    engine.restart()
    engine.step(reading(A, 5.5, count=2))
    outputs = engine.state(A).outputs
    assert (outputs["level_outside"], outputs["level_stale"], outputs["hot_stale"]) == (True, True, False)
    engine.step(reading(A, 6, level=1.0))
    outputs = engine.state(A).outputs
    assert (outputs["level_outside"], outputs["level_stale"], outputs["hot_stale"]) == (False, False, True)


def test_ticks_make_inputs_stale_without_telemetry(clamping: TwinType) -> None:
    engine = Stepping(clamping)
    engine.step(reading(A, 0, level=1.0, count=1, hot=True), tick(5), tick(6))
    assert engine.state(A).outputs["level_stale"] is True
    events = [event for event in engine.run.messages("events") if event["name"] == "stale"]
    assert [(event["event_time_ns"] - START_NS) / SECOND for event in events] == [6.0]
    assert events[0]["data"] == {"level": 1.0, "hot_stale": True}


def test_a_reset_leaves_what_is_known_of_the_inputs(clamping: TwinType) -> None:
    engine = Stepping(clamping)
    engine.step(reading(A, 0, level=9.0, count=1, hot=True), tick(4), request(A, "reset"), reading(A, 4, count=1))
    outputs = engine.state(A).outputs
    assert (outputs["level_outside"], outputs["hot_stale"]) == (True, True)
    assert engine.state(A).status == "stale"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (("range: [-1.5, 8], ", ""), "inputs.level.outside"),
        (("type: bool, max_age_s: 2.5", "type: bool, outside: clamp"), "inputs.hot.outside"),
        (("above: 0, below: 9.5", "range: [0.2, 0.8]"), "inputs.count.outside"),
        (("max_age_s: 5", "max_age_s: 0"), "inputs.level.max_age_s"),
        (("outside: clamp, max", "outside: guess, max"), "inputs.level.outside"),
        (("  hot:", "  level_stale: {}\n  hot:"), "inputs.level.max_age_s"),
        (("  hot:", "  count_outside: {}\n  hot:"), "inputs.count.outside"),
        (
            ("outputs: {highest: {}, times", "outputs: {level_stale: {type: bool}, times"),
            "pipeline.0.outputs.level_stale",
        ),
    ],
)
def test_wrong_inputs_are_located_faults(change: tuple[str, str], path: str) -> None:
    text = DEFINITION.format(outside="clamp", missing="hold_last")
    assert change[0] in text
    faults = examine(text.replace(*change)).problems
    assert path in {fault.path for fault in faults}
    assert all(fault.line for fault in faults)


HELD = """\
name: held
version: 1.0.0
tick_s: 1
missing: hold_last
inputs:
  level: {unit: m}
  open: {type: bool, default: true}
  count: {type: int, range: [0, 9], default: 3, outside: flag, max_age_s: 60}
  far: {}
outputs:
  timeseries: {fields: [level, open, count], when: both}
  metadata: [open]
"""


def test_a_record_without_an_input_that_never_came_names_it(cache: Path, tmp_path: Path) -> None:
    engine = Stepping(load_type(stepping.write_type(tmp_path, HELD), "held", cache))
    run = engine.step(
        reading(A, 0, open=False), reading(A, 1, far=1.0), reading(A, 2, far=1.0, level=1.0), reading(A, 3, open=False)
    )
    details = [(letter["reason"], letter["detail"].rpartition(": ")[2]) for letter in run.messages("deadletter")]
    assert details == [("missing_field", "level, far"), ("missing_field", "level")]
    assert run.counts["accepted", ""] == 2


def test_of_very_many_inputs_the_first_are_named_and_the_others_told(cache: Path, tmp_path: Path) -> None:
    inputs = ", ".join(f"x{number}: {{}}" for number in range(60))
    text = f"name: wide\nversion: 1.0.0\nmissing: hold_last\ninputs: {{{inputs}}}\n"
    engine = Stepping(load_type(stepping.write_type(tmp_path, text), "wide", cache))
    sent = {f"x{number}": 1.0 for number in range(60) if number not in {51, 59}}
    (letter,) = engine.step(reading(A, 0, **sent)).messages("deadletter")
    assert letter["detail"].endswith(": x51, others")


def test_a_default_counts_until_the_first_value_comes(cache: Path, tmp_path: Path) -> None:
    twin_type = load_type(stepping.write_type(tmp_path, HELD), "held", cache)
    engine = Stepping(twin_type)
    engine.step(reading(A, 0, level=1.0, far=0.0), tick(1))
    engine.restart()
    run = engine.step(tick(2), reading(A, 3, level=2.0), reading(A, 4, open=False, count=12), reading(A, 5, level=3.0))
    fields = [line.split()[1] for line in run.lines()]
    assert fields == [f"level={level},open={number},count={count}" for level, number, count in (
        (1.0, 1.0, 3.0), (1.0, 1.0, 3.0), (1.0, 1.0, 3.0), (2.0, 1.0, 3.0), (2.0, 0.0, 12.0), (3.0, 0.0, 12.0),
    )]  # fmt: skip
    assert run.messages("deadletter") == []
    assert [document["metadata"] for document in run.messages("metadata")][-2:] == [{"open": True}, {"open": False}]
    assert engine.state(A).outputs["count_stale"] is False


def test_a_default_makes_no_input_fresh(cache: Path, tmp_path: Path) -> None:
    engine = Stepping(load_type(stepping.write_type(tmp_path, HELD), "held", cache))
    engine.step(reading(A, 0, level=1.0, far=0.0))
    outputs = engine.state(A).outputs
    assert (outputs["count_stale"], outputs["count_outside"]) == (True, False)
