"""Ticks: time goes by for twins that hear nothing, as data of the input topic like everything else."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference.plain_twin import PlainTwin
from support import stepping
from support.oracle import load_type
from support.stepping import START_NS, TWINS, Run, Stepping, put, reading, record, request, stepped, tick

from schemas.definition_file import examine
from streams.log.record import LogRecord
from twins.twin_type import TwinType

A, B = TWINS[:2]
DEFINITION = """\
name: pump
version: 1.0.0
tick_s: 1
missing: hold_last
inputs:
  pressure: {unit: bar}
  running: {type: bool}
parameters:
  limit: {default: 10.0}
  rate: {default: 0.5}
pipeline:
  - {name: doubled, step: "steps.py:doubled", outputs: {double: {}}}
  - name: silence
    step: steps.py:silence
    runs_on: both
    state: {silent_s: {}, heard: {type: int}}
    outputs: {silent_s: {unit: s}, silent: {type: bool}}
  - name: model
    step: steps.py:model
    runs_on: ticks
    state: {level: {}}
    outputs: {level: {}, rounds: {type: int}, at_s: {}}
  - {name: error, step: "steps.py:error", outputs: {error: {}}}
  - {name: need, step: "steps.py:need", runs_on: ticks, outputs: {need: {type: bool}}}
outputs:
  timeseries: {fields: [double, silent_s, level, error]}
  events:
    fell_silent: {when: silent, severity: warning, data: [silent_s, pressure, error]}
    heard_again: {when: silent, edge: falling}
  commands:
    stop: {field: need, type: bool, refresh_s: 4, expires_s: 60}
    level: {field: level, range: [0, 3]}
  metadata: [silent, rounds]
"""
STEPS = '''\
import math


def doubled(pressure):
    return 2.0 * pressure


def silence(state, dt_s, records, limit):
    """How long nothing came; on a record `records` moves on."""
    if records != state.heard:
        state.heard = records
        state.silent_s = 0.0
    else:
        state.silent_s += dt_s
    return state.silent_s, state.silent_s > limit


def model(state, dt_s, rate, time_s, records):
    """Goes on by itself; at a rate of 13 it raises, below zero it gives NaN."""
    state.level += rate * dt_s
    if rate < 0.0:
        return math.nan, 0, time_s
    return state.level + 0.0 / (rate - 13.0), records, time_s


def error(double, level):
    return double - level


def need(silent, running, level):
    return silent and running and level > 2.0
'''


def _folder(path: Path, definition: str = DEFINITION) -> Path:
    return stepping.write_type(path, definition, steps=STEPS)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _folder(tmp_path_factory.mktemp("pump"))


@pytest.fixture(scope="module")
def pump(folder: Path, cache: Path) -> TwinType:
    return load_type(folder, "pump", cache)


@pytest.fixture
def engine(pump: TwinType) -> Stepping:
    return Stepping(pump)


moments = st.tuples(
    st.sampled_from(["reading", "reading", "half", "tick", "tick", "tick"]),
    st.sampled_from([A, B]),
    st.integers(0, 7).map(lambda quarters: quarters / 4),
    st.floats(-5, 5),
)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, bytes, float, float]]:
    """What happens, to which twin, when in seconds, and a pressure; times of ticks and of each twin only grow."""
    found, clocks = [], {b"": 0.0, A: 0.0, B: 0.0}
    for kind, twin, step_s, value in draw(st.lists(moments, max_size=40)):
        key = b"" if kind == "tick" else twin
        clocks[key] += step_s + 0.25
        found.append((kind, twin, clocks[key], value))
    return found


def _record(kind: str, twin: bytes, at_s: float, value: float) -> LogRecord:
    if kind == "tick":
        return tick(at_s)
    values = {"pressure": value} if kind == "half" else {"pressure": value, "running": value > 0}
    return reading(twin, at_s, **values)


@given(histories())
@settings(max_examples=60)
def test_records_and_ticks_give_what_plain_python_gives(pump: TwinType, folder: Path, history: list[Any]) -> None:
    engine, plain = Stepping(pump), {twin: PlainTwin(folder) for twin in (A, B)}
    heard: set[bytes] = set()
    for kind, twin, at_s, value in history:
        engine.step(_record(kind, twin, at_s, value))
        time_ns = START_NS + round(at_s * stepping.SECOND)
        if kind == "tick":
            for known in heard:
                plain[known].tick(time_ns)
            continue
        heard.add(twin)
        given_values = {"pressure": value} if kind == "half" else {"pressure": value, "running": value > 0}
        if kind == "reading" or "running" in plain[twin].last:
            plain[twin].step({**plain[twin].last, **given_values, "time": time_ns})
    for twin in heard:
        outputs = engine.state(twin).outputs
        assert outputs == {name: plain[twin].last.get(name) for name in outputs}


@given(histories(), st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_block_cuts_and_restarts_change_nothing_with_ticks_in_between(
    pump: TwinType, history: list[Any], cuts: list[tuple[int, bool]]
) -> None:
    made = [_record(*moment)._replace(offset=3 * index) for index, moment in enumerate(history)]
    whole = stepped(pump, made)
    for found in (stepped(pump, made, cuts), stepped(pump, made, [(index, False) for index in range(len(made))])):
        assert found.result.states == whole.result.states
        assert found.result.outputs == whole.result.outputs
        assert found.counts == whole.counts
        for kind in ("events", "commands", "metadata"):
            assert _by_twin(found, kind) == _by_twin(whole, kind)


def _by_twin(run: Run, kind: str) -> list[Any]:
    return sorted(run.messages(kind), key=lambda message: str(message.get("twin", message.get("id"))))


def test_on_a_tick_a_step_waits_for_every_field_that_it_takes(engine: Stepping) -> None:
    engine.step(put(A, {"rate": 1.0}))
    engine.step(tick(1), tick(2))
    outputs = engine.state(A).outputs
    # `need` takes an input that never came; `doubled` and `error` run on records alone.
    assert outputs == {
        "double": None,
        "silent_s": 1.0,
        "silent": False,
        "level": 1.0,
        "rounds": 0,
        "at_s": (START_NS + 2 * stepping.SECOND) * 1e-9,
        "error": None,
        "need": None,
    }
    assert [command["name"] for command in engine.run.messages("commands")] == ["level", "level"]


def test_on_a_record_a_step_waits_for_what_only_ticks_give(engine: Stepping) -> None:
    engine.step(reading(A, 0, pressure=3.0, running=True))
    assert engine.state(A).outputs["error"] is None
    assert engine.state(A).status == "ok"
    engine.step(tick(1), reading(A, 1.5, pressure=4.0))
    assert engine.state(A).outputs["error"] == 8.0
    # A field without a value is left out, and no line has one.
    assert engine.run.lines()[0].split()[1] == "double=6.0,silent_s=0.0"


def test_a_tick_moves_no_event_time_so_that_a_device_behind_it_is_not_late(engine: Stepping) -> None:
    engine.step(reading(A, 10, pressure=1.0, running=True), tick(20), reading(A, 11, pressure=2.0))
    assert engine.run.counts["accepted", ""] == 2
    assert engine.run.counts["late", ""] == 0
    assert engine.state(A).event_time_ns == START_NS + 11 * stepping.SECOND
    assert engine.state(A).outputs["silent_s"] == 0.0


def test_a_tick_that_is_not_newer_than_the_last_is_ignored_also_by_the_next_owner(engine: Stepping) -> None:
    engine.step(reading(A, 0, pressure=1.0, running=True), tick(5), tick(6), tick(6), tick(4))
    assert engine.run.counts["tick", ""] == 2
    assert engine.run.counts["tick_ignored", ""] == 2
    engine.restart()
    engine.step(tick(3), tick(6), tick(7))
    assert engine.run.counts["tick", ""] == 3
    assert engine.state(A).outputs["level"] == 1.0


def test_a_tick_raises_events_and_commands_whose_cause_it_is(engine: Stepping) -> None:
    engine.step(put(A, {"limit": 2.0, "rate": 1.0}), reading(A, 0, pressure=3.0, running=True))
    for at_s in range(1, 10):
        engine.step(tick(at_s)._replace(offset=100 + at_s))
    events = [event for event in engine.run.messages("events") if event["name"] == "fell_silent"]
    assert [(event["cause"]["offset"], event["event_time_ns"] - START_NS) for event in events] == [(103, 3 * 10**9)]
    assert events[0]["data"]["silent_s"] == 3.0
    stops = [command for command in engine.run.messages("commands") if command["name"] == "stop"]
    # With the first tick, when it changes, and every 4 s again.
    sent = [(command["cause"]["offset"] - 100, command["value"]) for command in stops]
    assert sent == [(1, False), (4, True), (8, True)]
    assert stops[1]["issued_ns"] == START_NS + 4 * stepping.SECOND
    assert stops[1]["expires_ns"] == START_NS + 64 * stepping.SECOND
    refused = [event["data"]["value"] for event in engine.run.messages("events") if event["name"] == "command_refused"]
    assert refused == [4.0], "one reason is told once"
    document = next(found for found in engine.run.messages("metadata") if found["metadata"].get("silent"))
    assert document["revision"] == 5


@pytest.mark.parametrize("rate", [13.0, -1.0])
def test_a_step_that_fails_on_a_tick_quarantines_that_twin_alone(engine: Stepping, rate: float) -> None:
    engine.step(*(reading(twin, 0, pressure=1.0, running=True) for twin in (A, B)), tick(1), put(A, {"rate": rate}))
    before = engine.state(A).outputs
    engine.step(tick(2), tick(3))
    assert engine.state(A).status == "quarantined"
    assert engine.state(A).outputs == before
    assert engine.state(B).outputs["level"] == 1.0
    quarantined = [event for event in engine.run.messages("events") if event["name"] == "quarantined"]
    assert [(event["twin"], event["cause"]["offset"]) for event in quarantined] == [(A.decode(), 4)]
    assert engine.run.messages("metadata")[-1]["status"] == "quarantined"
    engine.step(put(A, {"rate": 1.0}), request(A, "release"), tick(4))
    assert engine.state(A).outputs["level"] == 1.0


def test_a_tick_that_changes_nothing_writes_no_row(tmp_path: Path, cache: Path) -> None:
    definition = DEFINITION.partition("pipeline:")[0] + (
        "pipeline: [{name: need, step: 'steps.py:need', runs_on: ticks, "
        "inputs: {silent: running, level: pressure}, outputs: {need: {type: bool}}}]\n"
    )
    engine = Stepping(load_type(_folder(tmp_path, definition), "still", cache))
    engine.step(*(reading(twin, 0, pressure=1.0, running=True) for twin in TWINS), tick(1))
    assert len([key for key in engine.snapshot() if not key.startswith(b"#")]) == len(TWINS)
    revision = engine.state(A).revision
    engine.step(tick(2))
    assert list(engine.snapshot()) == [b"#tick"]
    assert engine.state(A).revision == revision


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"time_ns":0}', b'{"time_ns":1.5}', b'{"time_ns":9e18,"x":1}'])
def test_a_tick_that_says_no_time_is_a_dead_letter(engine: Stepping, value: bytes) -> None:
    run = engine.step(record(None, value, kind="tick"))
    assert {letter["reason"] for letter in run.messages("deadletter")} <= {"undecodable", "invalid_time"}
    assert run.counts.total() == 1


def test_a_type_without_ticks_ignores_them_and_its_rows_hold_nothing_of_them(tmp_path: Path, cache: Path) -> None:
    plain = load_type(stepping.probe_type(tmp_path / "probe"), "probe", cache)
    run = stepped(plain, [tick(1)._replace(offset=0)])
    assert run.counts == {("tick_ignored", ""): 1}
    assert plain.kernels.ticks is None
    assert "ticked" not in (plain.layout.dtype.names or ())


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (("tick_s: 1", "tick_s: 0"), "pipeline.1.runs_on"),
        (("tick_s: 1", "tick_s: 0.01"), "tick_s"),
        (("tick_s: 1", "tick_s: -1"), "tick_s"),
        (("tick_s: 1", "tick_s: often"), "tick_s"),
        (("runs_on: both", "runs_on: sundays"), "pipeline.1.runs_on"),
    ],
)
def test_wrong_ticks_are_located_faults(change: tuple[str, str], path: str) -> None:
    faults = examine(DEFINITION.replace(*change)).problems
    assert path in {fault.path for fault in faults}
    assert all(fault.line for fault in faults)


def test_the_last_tick_outlives_a_switch_to_another_version_and_a_restart_after_it(
    engine: Stepping, tmp_path: Path, cache: Path
) -> None:
    changed = DEFINITION.replace("1.0.0", "1.1.0").replace("  limit: {", "  most: {default: 1}\n  limit: {")
    second = load_type(_folder(tmp_path, changed), "second", cache)
    engine.step(reading(A, 0, pressure=1.0, running=True), tick(5), tick(6))
    engine.switch(second)
    engine.step(tick(6), tick(7))
    engine.restart()
    engine.step(tick(7), tick(8))
    assert engine.run.counts["tick", ""] == 4
    assert engine.run.counts["tick_ignored", ""] == 2
    # 0.5 a second from the first tick on.
    assert engine.state(A).outputs["level"] == 1.5
