"""What beginners write that can't be compiled: one sentence at their own line, and the way out."""

from pathlib import Path

import pytest
from support import stepping
from support.oracle import load_type
from support.stepping import TWINS, Stepping, reading

from twins.check import check_folder

DEFINITION = """\
name: probe
version: 1.0.0
inputs: {a: {}}
pipeline:
  - name: s
    step: steps.py:step
    state:
      total: {}
      v: {shape: [3]}
      m: {shape: [2, 3], initial: 0.5}
      n: {type: int, shape: [2]}
      b: {type: bool, shape: [4]}
    outputs: {y: {}}
outputs: {timeseries: {fields: [y]}}
"""
HEAD = """\
import datetime
import statistics
import numpy as np
LIMITS = {'low': 1.0}
seen = []

def step(state, a):
"""
FIRST = HEAD.count("\n") + 1
"""Line of the body's first line."""


def _folder(path: Path, body: str, definition: str = DEFINITION) -> Path:
    return stepping.write_type(path, definition, steps=HEAD + "".join(f"    {line}\n" for line in body.splitlines()))


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        (
            "try:\n    return 1.0 / a\nexcept ZeroDivisionError:\n    return 0.0",
            2,
            "except ZeroDivisionError can't be told",
        ),
        (
            "try:\n    return 1.0 / a\nexcept Exception as error:\n    return 0.0",
            2,
            "Exception object cannot be stored",
        ),
        ("table = {'x': a, 1: a}\nreturn table['x']", 0, "DictType"),
        ("return a * LIMITS['low']", 0, "global name 'LIMITS'"),
        ("text = f'{a:.1f}'\nreturn a", 0, "format spec in f-strings"),
        ("return float('{}'.format(a))", 0, "attribute 'format'"),
        ("name = 'x' + 3\nreturn a", 0, "there is no add(str, int)"),
        ("print(open)\nreturn a", 0, "global name 'open'"),
        ("found = []\nfound.append(a)\nfound.append('x')\nreturn a", 2, "list.append"),
        ("found = []\nreturn a", 0, "type of variable 'found'"),
        ("seen.append(a)\nreturn a", 0, "seen is a list of the module"),
        ("return statistics.median([a, 1.0])", 0, "attribute 'median' of type module statistics"),
        ("return datetime.date(2026, 1, 1).year + a", 0, "attribute 'date' of type module datetime"),
        ("import math\nreturn math.sin(a)", 0, "it imports within the function"),
        ("global LIMITS\nLIMITS = 3\nreturn a", 1, "steps keep nothing in globals"),
        ("state.total += a", -1, "returns nothing, but the step has 1 output"),
        ("if a > 0:\n    return a", -1, "returns nothing on one of its ways, but the step has 1 output"),
        ("return a, a, a", -1, "returns 3 values, but the step has 1 output"),
        ("return 'high'", -1, "returns a text, but the step has 1 output"),
        ("return state.v", -1, "returns an array, but the step has 1 output"),
        ("return np.zeros(3)", -1, "returns an array, but the step has 1 output"),
        ("return state", -1, "returns its state, but the step has 1 output"),
        ("return [a]", -1, "returns a list, but the step has 1 output"),
        ("state.v[0, 1] = a\nreturn a", 0, "there is no setitem"),
        ("state.total = 'x'\nreturn a", 0, "Cannot cast"),
        ("state.v = np.zeros(3)\nreturn a", 0, "write into it: state.x[:] = …"),
    ],
)
def test_a_mistake_is_one_sentence_at_its_line_with_a_way_out(
    tmp_path: Path, body: str, line: int, message: str
) -> None:
    (problem,) = check_folder(_folder(tmp_path, body))
    assert (problem.file, problem.line, problem.path) == ("steps.py", FIRST + line, "step")
    assert message in problem.message
    assert len(problem.message) < 250
    assert not any(word in problem.message for word in ("\x1b", "\n", "row.", "/", "nopython", "<module"))
    if not any(word in problem.message for word in ("returns", "imports", "globals", "list of the module")):
        assert "compiled: false" in problem.remedy


@pytest.mark.parametrize(
    ("body", "head", "message", "remedy"),
    [
        ("return a * LIMITS[0]", "LIMITS = [1.0, 2.0]", "LIMITS is a list of the module", "LIMITS = (1.0, 2.0)"),
        ("return a * LIMITS[0]", "LIMITS = [1.5]", "LIMITS is a list of the module", "LIMITS = (1.5,)"),
        ("import time\nreturn a + time.time()", "", "it imports within the function", "a clock differs from replay"),
        ("global last\nlast = last + a\nreturn last", "", "uses last, which is not defined", "declare state:"),
    ],
)
def test_the_remedy_says_what_to_write(tmp_path: Path, body: str, head: str, message: str, remedy: str) -> None:
    steps = f"{head}\n\ndef step(state, a):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    (problem,) = check_folder(stepping.write_type(tmp_path, DEFINITION, steps=steps))
    assert message in problem.message
    assert remedy in problem.remedy


STATE_BODY = """\
state.v[1] = a
state.v += 1.0
state.m[1, 2] = a
state.m[0] = state.v
state.n[0] += 3
state.b[3] = a > 2.0
state.total = state.m.sum() + (state.v * state.v).sum()
if a == 9.0:
    state.v[int(a)] = 1.0
if a == 8.0:
    state.m[1, int(a)] = 1.0
if a == 7.0:
    state.v[int(-a)] = 1.0
return state.total"""


def _declared(*, compiled: bool) -> str:
    return DEFINITION.replace("steps.py:step\n", f"steps.py:step\n    compiled: {str(compiled).lower()}\n")


@pytest.mark.parametrize("compiled", [True, False])
def test_steps_of_both_kinds_use_vectors_and_matrices_within_their_bounds(tmp_path: Path, compiled: bool) -> None:  # noqa: FBT001
    folder = _folder(tmp_path / "type", STATE_BODY, _declared(compiled=compiled))
    assert check_folder(folder, tmp_path / "cache") == []
    engine = Stepping(load_type(folder, "content", tmp_path / "cache"))
    twin = TWINS[0]
    engine.step(reading(twin, 0, a=1.0), reading(twin, 1, a=3.0))
    good = engine.state(twin).state["s"]
    assert good["v"] == [2.0, 4.0, 2.0]
    assert good["m"] == [[2.0, 4.0, 2.0], [0.5, 0.5, 3.0]]
    assert (good["n"], [bool(flag) for flag in good["b"]]) == ([6, 0], [False, False, False, True])
    assert good["total"] == 12.0 + 24.0
    for outside in (9.0, 8.0, 7.0):
        engine.step(reading(twin, 10 + outside, a=outside))
        after = engine.state(twin)
        assert (after.status, after.state["s"]) == ("quarantined", good)
        engine.step(stepping.request(twin, "release"))
    engine.restart()
    engine.step(reading(twin, 30, a=3.0))
    assert engine.state(twin).state["s"]["n"] == [9, 0]


def test_whole_numbers_of_the_state_keep_all_64_bits_in_both_kinds(tmp_path: Path) -> None:
    large = 2**62 + 1
    for compiled in (True, False):
        folder = _folder(tmp_path / str(compiled), f"state.n[1] = {large}\nreturn a", _declared(compiled=compiled))
        engine = Stepping(load_type(folder, "content", tmp_path / "cache"))
        engine.step(reading(TWINS[0], 0, a=1.0))
        assert engine.state(TWINS[0]).state["s"]["n"] == [0, large]
