"""A twin's status, and which records and ticks lead to time series."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import stepping
from support.oracle import load_type
from support.stepping import SECOND, START_NS, TWINS, Stepping, put, reading, request, stepped, tick

from schemas.definition_file import examine
from twins.twin_type import TwinType

A, B = TWINS[:2]
DEFINITION = """\
name: probe
version: 1.0.0
tick_s: 1
inputs: {a: {max_age_s: 4}, old: {type: bool}}
pipeline:
  - {name: judged, step: "steps.py:judged", outputs: {apart: {type: bool}, half: {}}}
  - {name: beat, step: "steps.py:beat", runs_on: ticks, outputs: {beat: {type: bool}}}
outputs:
  timeseries: {fields: [half, beat]WHEN}
  status: {drifting: apart, stale: old}
  metadata: [old]
"""
STEPS = """\
def judged(a):
    if a == 13.0:
        return True, float("nan")
    return a > 10.0, a / 2.0


def beat(a, time_s):
    return time_s % 2.0 >= 1.0 and a > 5.0
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


def _type(folder: Path, cache: Path, when: str = "") -> TwinType:
    stepping.write_type(folder, DEFINITION.replace("WHEN", when), steps=STEPS)
    return load_type(folder, "probe", cache)


@pytest.fixture(scope="module")
def probe(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return _type(tmp_path_factory.mktemp("status"), cache)


def _documents(engine: Stepping) -> list[str]:
    return [document["status"] for document in engine.run.messages("metadata")]


def test_drifting_comes_before_stale_and_quarantine_before_both(probe: TwinType) -> None:
    engine = Stepping(probe)
    steps = [
        (reading(A, 0, a=1.0, old=False), "ok"),
        (reading(A, 1, a=1.0, old=True), "stale"),
        (reading(A, 2, a=11.0, old=True), "drifting"),
        (reading(A, 3, a=2.0, old=False), "ok"),
        (tick(7), "ok"),
        (tick(8), "stale"),
        (tick(9), "stale"),
        (reading(A, 9, a=20.0, old=False), "drifting"),
        (reading(A, 10, a=13.0, old=False), "quarantined"),
        (tick(30), "quarantined"),
        (request(A, "release"), "drifting"),
        (tick(31), "drifting"),
        # What a step found is over with a reset; how old an input is, is not.
        (request(A, "reset"), "stale"),
        (tick(32), "stale"),
        (reading(A, 40, a=3.0, old=False), "ok"),
    ]
    for item, status in steps:
        engine.step(item)
        assert engine.state(A).status == status
    # Each change has its document.
    assert [status for status, _ in itertools.groupby(_documents(engine))] == [
        "ok", "stale", "drifting", "ok", "stale", "drifting", "quarantined", "drifting", "stale", "ok",
    ]  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from("art"), st.sampled_from([1.0, 6.0, 11.0, 13.0]), st.booleans()), max_size=25),
    st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=5),
)
@settings(max_examples=60)
def test_documents_and_states_do_not_depend_on_block_cuts(
    probe: TwinType, moments: list[tuple[str, float, bool]], cuts: list[tuple[int, bool]]
) -> None:
    made = []
    for index, (kind, value, old) in enumerate(moments):
        twin = A if value < 10 or old else B
        if kind == "a":
            item = reading(twin, index, a=value, old=old)
        else:
            item = tick(index + 1) if kind == "t" else request(twin, "release")
        made.append(item._replace(offset=index))
    whole = stepped(probe, made)
    for found in (stepped(probe, made, cuts), stepped(probe, made, [(index, False) for index in range(len(made))])):
        assert found.result.states == whole.result.states
        assert found.result.outputs == whole.result.outputs


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("", [0, 2, 3, 9]),
        (", when: tick", [1, 4, 5, 6]),
        (", when: both", [0, 1, 2, 3, 4, 5, 6, 9]),
        # `half` changes at 2 and 9, `beat` at the first tick and with those at 5 and 6.
        (", when: change", [0, 1, 2, 5, 6, 9]),
        (", when: interval, interval_s: 2.5", [0, 3, 6, 9]),
    ],
)
def test_time_series_have_a_line_when_their_policy_says_so(
    tmp_path: Path, cache: Path, when: str, expected: list[int]
) -> None:
    engine = Stepping(_type(tmp_path, cache, when))
    engine.step(reading(A, 0, a=1.0, old=False), tick(1))
    engine.step(reading(A, 2, a=8.0, old=True), reading(A, 3, a=8.0, old=False))
    engine.restart()
    engine.step(tick(4), tick(5), tick(6), reading(A, 9, a=7.0, old=False))
    at_s = [(int(line.split()[2]) - START_NS) // SECOND for line in engine.run.lines()]
    assert at_s == expected


def _faults(old: str, new: str) -> dict[str, str]:
    text = DEFINITION.replace("WHEN", ", when: both")
    assert old in text
    found = examine(text.replace(old, new)).problems
    assert all(fault.line for fault in found)
    return {fault.path: fault.message for fault in found}


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        (", when: both", ", when: sometimes", "outputs.timeseries.when"),
        (", when: both", ", when: interval", "outputs.timeseries"),
        (", when: both", ", interval_s: 3", "outputs.timeseries.interval_s"),
        (", when: both", ", when: interval, interval_s: -1", "outputs.timeseries.interval_s"),
        ("tick_s: 1", "tick_s: 0", "outputs.timeseries.when"),
        ("drifting: apart", "drifting: away", "outputs.status.drifting"),
        ("drifting: apart", "drifting: half", "outputs.status.drifting"),
        ("stale: old", "stale: a", "outputs.status.stale"),
        ("stale: old", "asleep: old", "outputs.status.asleep"),
    ],
)
def test_wrong_policies_and_status_fields_are_located_faults(old: str, new: str, path: str) -> None:
    assert path in _faults(old, new)


def test_a_version_without_a_status_shows_none_of_an_earlier_one(probe: TwinType, tmp_path: Path, cache: Path) -> None:
    engine = Stepping(probe)
    engine.step(reading(A, 0, a=11.0, old=False))
    text = (
        DEFINITION.replace("WHEN", "")
        .replace("  status: {drifting: apart, stale: old}\n", "")
        .replace("max_age_s: 4", "")
    )
    engine.twin_type = load_type(stepping.write_type(tmp_path, text, steps=STEPS), "second", cache)
    engine.restart(engine.twin_type)
    engine.step(put(A, {}), reading(A, 1, a=11.0, old=True))
    assert engine.run.messages("metadata")[-1]["status"] == "ok"
    assert engine.state(A).status == "ok"


def test_an_age_that_a_new_version_asks_for_counts_from_the_last_record(
    probe: TwinType, tmp_path: Path, cache: Path
) -> None:
    text = DEFINITION.replace("WHEN", "").replace("max_age_s: 4", "")
    engine = Stepping(load_type(stepping.write_type(tmp_path, text, steps=STEPS), "first", cache))
    engine.step(reading(A, 10, a=1.0, old=False))
    engine.snapshot()
    engine.twin_type = probe
    engine.restart(probe)
    engine.step(tick(12))
    assert engine.state(A).status == "ok"
    engine.step(tick(15))
    assert engine.state(A).status == "stale"
