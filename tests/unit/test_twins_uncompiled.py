"""Steps in plain Python between compiled ones: the same results, however records fall into blocks, and no harm done."""

import base64
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.plain_twin import PlainTwin
from support import stepping
from support.oracle import load_type
from support.stepping import SECOND, START_NS, TWINS, Run, Stepping, reading, request, tick

from schemas.line_protocol import parse_line
from streams.log.record import LogRecord
from twins.check import check_folder
from twins.kernel.compiler import Kernel
from twins.kernel.printing import Printed
from twins.kernel.waves import waves
from twins.twin_type import TwinType

DEFINITION = """\
name: mixed
version: 1.0.0
missing: hold_last
late: flag
tick_s: 1.0
inputs:
  a: {range: [-1000, 1000]}
  n: {type: int}
  lit: {type: bool}
parameters:
  gain: {default: 2.0}
  mode: {type: string, choices: [slow, fast], default: fast}
pipeline:
  - {name: before, step: "steps.py:before", state: {total: {}}, outputs: {summed: {}, whole: {type: int}}}
  - name: middle
    step: steps.py:middle
    compiled: COMPILED
    inputs: {x: summed}
    state: {ring: {shape: [3]}, m: {shape: [2, 2], initial: 1}, calls: {type: int}, flags: {type: bool, shape: [2]}}
    outputs: {mean: {}, calls: {type: int}, odd: {type: bool}}
    requests: {clear: "steps.py:clear"}
  - {name: between, step: "steps.py:between", outputs: {shifted: {}}}
  - name: noise
    step: steps.py:noise
    compiled: COMPILED
    inputs: {value: shifted, before: {previous: noisy}}
    outputs: {noisy: {}}
  - {name: quiet, step: "steps.py:quiet", compiled: COMPILED, state: {seen: {type: int}}, outputs: {}}
  - name: ticking
    step: steps.py:ticking
    compiled: COMPILED
    runs_on: ticks
    state: {ticks: {type: int}}
    outputs: {ticks: {type: int}, high: {type: bool}}
  - name: both
    step: steps.py:both
    compiled: COMPILED
    runs_on: both
    state: {waited: {}}
    outputs: {waited: {}}
  - {name: after, step: "steps.py:after", runs_on: both, outputs: {doubled: {}}}
requests:
  clear: {arguments: {by: {}}}
outputs:
  timeseries: {fields: [summed, whole, mean, calls, odd, shifted, noisy, lit]}
  events:
    went_odd: {when: odd, data: [mean, noisy]}
    went_high: {when: high, edge: both, data: [doubled]}
  commands:
    valve: {field: odd, type: bool}
  metadata: [odd]
"""
STEPS = """\
import math
import numpy as np
from twins.functions.random import normal, uniform


def before(state, a, n, gain, dt_s):
    state.total += a * gain * dt_s
    if a == 17.0:
        raise ValueError("no seventeens")
    return state.total + a, n * 3


def middle(state, x, whole, lit, mode, records, time_ns):
    state.calls += 1
    state.ring[state.calls % 3] = x
    state.m[0, 1] += x
    state.flags[1] = lit
    if x == 13.0:
        return math.nan, 0, False
    if x == 14.0:
        state.m[1, 1] = math.inf
    if x == 15.0:
        state.ring[7] = 1.0
    mean = (state.ring[0] + state.ring[1] + state.ring[2]) / 3.0
    return mean + mode, state.calls + records - records, (whole + time_ns % 2) % 2 == 1


def between(mean, gain):
    if mean > 900.0:
        raise OverflowError("too much")
    return mean + gain


def noise(value, before, random_seed, time_s, dt_s):
    return value + 1e-3 * before + uniform(random_seed, 0) + 1e-3 * normal(random_seed, 1) + 0.0 * (time_s + dt_s)


def quiet(state, lit):
    state.seen += 1 if lit else 0


def ticking(state, mean, gain, time_s):
    state.ticks += 1
    if state.ticks == 5:
        raise ValueError("the fifth")
    return state.ticks, mean * gain > 3.0


def both(state, ticks, noisy, dt_s, random_seed):
    state.waited += dt_s
    return state.waited + ticks + uniform(random_seed, 3) + 0.0 * noisy


def after(waited, dt_s):
    return 2.0 * waited + dt_s


def clear(state, by, mean):
    state.ring[:] = by
    return "not so" if mean > 500.0 else None
"""
STORED = ("summed", "whole", "mean", "calls", "odd", "shifted", "noisy")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


def _folder(path: Path, *, compiled: bool, definition: str = DEFINITION, steps: str = STEPS) -> Path:
    return stepping.write_type(path, definition.replace("COMPILED", str(compiled).lower()), steps=steps)


@pytest.fixture(scope="module")
def mixed(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return load_type(_folder(tmp_path_factory.mktemp("mixed"), compiled=False), "content", cache)


@pytest.fixture(scope="module")
def pure(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    return load_type(_folder(tmp_path_factory.mktemp("pure"), compiled=True), "content", cache)


_values = st.fixed_dictionaries(
    {},
    optional={
        "a": st.sampled_from([1.0, 13.0, 14.0, 15.0, 17.0, -400.0, 900.0]) | st.floats(-50, 50),
        "n": st.integers(-5, 2**40),
        "lit": st.booleans(),
    },
)
_records = st.lists(
    st.one_of(
        st.builds(
            lambda at_s, twin, values: reading(twin, at_s, **values),
            st.integers(0, 30),
            st.sampled_from(TWINS[:3]),
            _values,
        ),
        st.builds(lambda twin, by: request(twin, "clear", by=by), st.sampled_from(TWINS[:3]), st.floats(-5, 5)),
        st.builds(request, st.sampled_from(TWINS[:3]), st.sampled_from(["release", "reset"])),
        st.builds(tick, st.integers(1, 30)),
    ),
    min_size=1,
    max_size=40,
)
_cuts = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=8)


def _told(run: Run) -> tuple[Any, ...]:
    outputs = {
        topic: [value for _, value in sorted(values, key=lambda output: output[0] or b"")]
        for topic, values in run.outputs.items()
        if not topic.endswith((".timeseries", "deadletter"))
    }
    return run.result.states, run.lines(), outputs, run.messages("deadletter"), run.counts


@pytest.mark.slow
@given(_records, _cuts)
@settings(max_examples=60)
def test_cuts_and_restarts_change_nothing_where_steps_are_not_compiled(
    mixed: TwinType, made: list[LogRecord], cuts: list[tuple[int, bool]]
) -> None:
    numbered = [item._replace(offset=3 * index) for index, item in enumerate(made)]
    whole = _told(stepping.stepped(mixed, numbered))
    assert _told(stepping.stepped(mixed, numbered, cuts)) == whole
    assert _told(stepping.stepped(mixed, numbered, [(index, False) for index in range(len(made))])) == whole


@given(_records)
@settings(max_examples=60)
def test_a_step_gives_the_same_bits_and_the_same_failures_compiled_or_not(
    mixed: TwinType, pure: TwinType, made: list[LogRecord]
) -> None:
    numbered = [item._replace(offset=3 * index) for index, item in enumerate(made)]
    states, lines, outputs, letters, counts = _told(stepping.stepped(mixed, numbered))
    expected = _told(stepping.stepped(pure, numbered))
    assert (states, lines, counts) == (expected[0], expected[1], expected[4])
    # What is said of a failure names the step where that is known.
    for found, wanted in zip([*letters, *_events(outputs)], [*expected[3], *_events(expected[2])], strict=True):
        assert _without_reason(found) == _without_reason(wanted)


def _events(outputs: dict[str, list[bytes]]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(value) for topic, values in outputs.items() if "events" in topic for value in values]


def _without_reason(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key not in {"detail", "data"}}


def test_a_mixed_pipeline_equals_plain_python(mixed: TwinType, tmp_path: Path) -> None:
    plain = PlainTwin(_folder(tmp_path / "mixed", compiled=False), twin=TWINS[0])
    random = np.random.default_rng(5)
    made, expected, final = [], [], {}
    for index in range(300):
        values = {"a": float(random.normal()), "n": int(random.integers(0, 9)), "lit": bool(random.random() < 0.5)}
        if index in {30, 90, 91, 200}:
            made.append(tick(index * 0.5 - 0.1))
            plain.tick(START_NS + index * SECOND // 2 - SECOND // 10, offset=len(made) - 1)
        made.append(reading(TWINS[0], index * 0.5, **values))
        final = plain.step({"time": START_NS + index * SECOND // 2, **values}, offset=len(made) - 1)
        expected.append(final)
    engine = Stepping(mixed)
    for start in range(0, len(made), 37):
        engine.step(*made[start : start + 37])
    found = [parse_line(line).fields for line in engine.run.lines()]
    for name in STORED:
        assert [point[name] for point in found] == [float(row[name]) for row in expected], name
    assert engine.state(TWINS[0]).outputs == final
    assert final["ticks"] == 4


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ValueError('no <object at 0x7f00aa> good')", "step s raised ValueError: no <object> good"),
        ("raise SystemExit(3)", "step s raised SystemExit: 3"),
        ("return 1 / (a - a)", "step s raised ZeroDivisionError: float division by zero"),
        ("return math.nan", "step s gave nan for y"),
        ("return -math.inf", "step s gave -inf for y"),
        ("return None", "step s returned nothing for y, not a number"),
        ("return 'text'", "step s returned a str for y, not a number"),
        ("return {'y': 1.0}", "step s returned a dict for y, not a number"),
        ("return a, a", "step s returned a tuple for y, not a number"),
        ("return np.zeros(3)", "step s returned an array of shape (3,) for y, not a number"),
        ("return 1j", "step s returned a complex for y, not a number"),
        ("return 10 ** 400", "step s gave a number for y beyond any float"),
        ("state.total = math.nan; return a", "step s left NaN or infinity in its state total"),
        ("state.v[1] = math.inf; return a", "step s left NaN or infinity in its state v"),
        ("state.nothing = 1.0; return a", "step s raised AttributeError: the state has no field nothing"),
        ("state.v[2] = 1.0; return a", "step s raised IndexError"),
        ("state.v = np.zeros(3); return a", "step s raised ValueError"),
        ("return missing", "step s raised NameError"),
        ("return step(state, a)", "step s raised RecursionError"),
    ],
)
def test_a_failing_step_in_python_costs_its_twin_alone_and_says_why(
    tmp_path: Path, cache: Path, body: str, told: str
) -> None:
    definition = """\
name: failing
version: 1.0.0
inputs: {a: {}}
pipeline:
  - {name: s, step: "steps.py:step", compiled: false, state: {total: {}, v: {shape: [2]}}, outputs: [y]}
outputs: {timeseries: {fields: [y]}}
"""
    steps = f"""\
import math
import numpy as np

def step(state, a):
    if a > 0:
        state.total += a
        return a
    {body}
"""
    engine = Stepping(load_type(_folder(tmp_path, compiled=False, definition=definition, steps=steps), told, cache))
    bad, other = TWINS[0], TWINS[1]
    run = engine.step(
        reading(bad, 0, a=1.0), reading(other, 0, a=1.0), reading(bad, 1, a=-2.0), reading(bad, 2, a=3.0),
        reading(other, 1, a=5.0),
    )  # fmt: skip
    letters = run.messages("deadletter")
    assert [base64.b64decode(letter["raw_base64"])[-8:] for letter in letters] == [
        b'"a":-2.0}',
        b',"a":3.0}',
    ] or letters
    assert letters[0]["reason"] == "step_failed"
    assert letters[0]["detail"].startswith(told)
    assert letters[1]["reason"] == "quarantined"
    state = engine.state(bad)
    assert (state.status, state.state["s"]) == ("quarantined", {"total": 1.0, "v": [0.0, 0.0]})
    assert engine.state(other).state["s"]["total"] == 6.0
    (event,) = [event for event in run.messages("events") if event["name"] == "quarantined"]
    assert event["data"]["reason"].startswith(told)
    engine.step(request(bad, "release"), reading(bad, 3, a=4.0))
    assert engine.state(bad).state["s"]["total"] == 5.0


def test_an_integer_beyond_64_bits_and_one_that_fits_exactly(tmp_path: Path, cache: Path) -> None:
    definition = """\
name: whole
version: 1.0.0
inputs: {a: {}}
pipeline:
  - {name: s, step: "steps.py:step", compiled: false, outputs: {y: {type: int}}}
  - {name: t, step: "steps.py:after", outputs: {z: {type: bool}}}
outputs: {timeseries: {fields: [z]}}
"""
    steps = "def step(a):\n    return 2**int(a) + 1\n\ndef after(y):\n    return y % 2 == 1\n"
    run = Stepping(load_type(_folder(tmp_path, compiled=False, definition=definition, steps=steps), "w", cache)).step(
        reading(TWINS[0], 0, a=62.0), reading(TWINS[0], 1, a=70.0)
    )
    assert [line.split()[1] for line in run.lines()] == ["z=1.0"]
    assert "over 64 bits" in run.messages("deadletter")[0]["detail"]


def test_fields_that_inputs_bring_along_reach_steps_in_plain_python(tmp_path: Path, cache: Path) -> None:
    definition = """\
name: limits
version: 1.0.0
missing: hold_last
inputs:
  a: {range: [0, 10], outside: clamp}
  b: {max_age_s: 2}
pipeline:
  - {name: s, step: "steps.py:step", compiled: false, outputs: {y: {type: int}}}
  - {name: t, step: "steps.py:after", outputs: {z: {}}}
outputs: {timeseries: {fields: [y, z]}}
"""
    steps = """\
def step(a_outside, b_stale):
    return 2 * a_outside + b_stale

def after(a, y):
    return a + y
"""
    engine = Stepping(load_type(_folder(tmp_path, compiled=False, definition=definition, steps=steps), "l", cache))
    run = engine.step(
        reading(TWINS[0], 0, a=5.0, b=1.0),
        reading(TWINS[0], 1, a=50.0),
        reading(TWINS[0], 4, a=6.0),
        reading(TWINS[0], 5, a=-1.0),
        reading(TWINS[0], 6, a=7.0, b=2.0),
    )
    assert [line.split()[1] for line in run.lines()] == [
        f"y={y}.0,z={z}.0" for y, z in ((0, 5), (2, 12), (1, 7), (3, 3), (0, 7))
    ]


def test_what_a_step_keeps_prints_or_writes_into_does_no_harm(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    definition = """\
name: rude
version: 1.0.0
inputs: {a: {}}
pipeline:
  - {name: s, step: "steps.py:step", compiled: false, state: {total: {}, v: {shape: [2]}}, outputs: [y]}
outputs: {timeseries: {fields: [y]}}
"""
    steps = """\
kept = []

def step(state, a):
    print("stepping", a)
    for one in kept:
        one.total = -1.0
        one.v[:] = -1.0
    kept.append(state)
    state.total += a
    a = None
    return state.total
"""
    engine = Stepping(load_type(_folder(tmp_path, compiled=False, definition=definition, steps=steps), "r", cache))
    run = engine.step(*(reading(twin, at_s, a=1.0) for at_s in range(3) for twin in TWINS[:3]))
    assert [line.split()[1] for line in run.lines()] == [f"y={total}.0" for total in (1, 2, 3) for _ in range(3)]
    assert engine.state(TWINS[0]).state["s"] == {"total": 3.0, "v": [0.0, 0.0]}
    assert capsys.readouterr().out == ""


def test_only_so_much_of_what_steps_print_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    printed = Printed(limit_chars=10)
    for _ in range(100):
        print("1234567", file=printed)
    assert capsys.readouterr().err.splitlines() == ["1234567", "12", "… steps print more than is shown"]


@given(st.lists(st.integers(0, 6), max_size=60))
@settings(max_examples=200)
def test_a_wave_has_the_next_record_of_each_twin(slots: list[int]) -> None:
    seen: dict[int, int] = dict.fromkeys(slots, 0)
    places = []
    for turn, wave in enumerate(waves(np.array(slots, np.int64))):
        indices = wave.tolist()
        assert indices == sorted(indices)
        for index in indices:
            assert seen[slots[index]] == turn
            seen[slots[index]] += 1
        places += indices
    assert sorted(places) == list(range(len(slots)))


def ticks_of(twin_type: TwinType) -> Kernel:
    assert twin_type.kernels.ticks is not None
    return twin_type.kernels.ticks


def test_a_pipeline_of_compiled_steps_is_one_pass(mixed: TwinType, pure: TwinType) -> None:
    assert (len(pure.kernels.records.entries), pure.kernels.records.uncompiled) == (1, ())
    assert (len(mixed.kernels.records.entries), [step.plan.name for _, step in mixed.kernels.records.uncompiled]) == (
        5,
        ["middle", "noise", "quiet", "both"],
    )
    assert [step.plan.name for _, step in ticks_of(mixed).uncompiled] == ["ticking", "both"]


def test_only_an_authors_own_step_can_go_without_compiling(tmp_path: Path) -> None:
    definition = """\
name: built
version: 1.0.0
inputs: {a: {}}
pipeline:
  - {name: s, step: rate_of_change, compiled: false, inputs: {value: a}, outputs: [y]}
"""
    (problem,) = check_folder(_folder(tmp_path, compiled=False, definition=definition))
    assert (problem.line, problem.path) == (5, "pipeline.0.compiled")
    assert problem.remedy == "remove compiled"


def test_a_step_that_cannot_be_compiled_may_be_declared_so(tmp_path: Path) -> None:
    definition = """\
name: library
version: 1.0.0
inputs: {a: {}}
pipeline:
  - {name: s, step: "steps.py:step", outputs: [y]}
outputs: {timeseries: {fields: [y]}}
"""
    steps = "import json\n\ndef step(a):\n    return json.loads(json.dumps({'y': a}))['y']\n"
    (problem,) = check_folder(_folder(tmp_path, compiled=True, definition=definition, steps=steps))
    assert "compiled: false" in problem.remedy
    declared = definition.replace("outputs: [y]", "compiled: false, outputs: [y]")
    assert check_folder(_folder(tmp_path, compiled=False, definition=declared, steps=steps)) == []
