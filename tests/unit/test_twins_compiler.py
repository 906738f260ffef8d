"""Compiled kernels: cached by content, so that nothing stale ever runs; faults name the author's line."""

import subprocess
import sys
from pathlib import Path

import pytest
from support import stepping

from twins.check import check_folder

ROOT = Path(__file__).parents[2]
DEFINITION = """\
name: probe
version: 1.0.0
inputs: {a: {}}
parameters: {p: {default: 1}}
pipeline:
  - {name: s, step: "steps.py:step", state: {total: {}}, outputs: {y: {}}}
outputs: {timeseries: {fields: [y]}}
"""
STEPS = "from inner import scaled\n\ndef step(state, a):\n    state.total += scaled(a)\n    return state.total\n"
INNER = "FACTOR = 2.0\n\ndef scaled(x):\n    return FACTOR * x\n"
STEP_ONCE = """\
import sys
from pathlib import Path
from schemas.bundle import read_folder
from support import stepping
from twins.twin_type import TwinType
folder, cache = map(Path, sys.argv[1:])
bundle = read_folder(folder)
twin_type = TwinType.load(folder, bundle.definition(), bundle.hash, 8, cache)
twin_type.warm_up()
run = stepping.stepped(twin_type, [stepping.reading(stepping.TWINS[0], 0, a=3)._replace(offset=0)])
stats = [entry.stats for entry in twin_type.kernels.records.entries]
hits, misses = (sum(sum(getattr(one, name).values()) for one in stats) for name in ("cache_hits", "cache_misses"))
print(run.lines()[0].split()[1], hits, misses)
"""


def _in_child(folder: Path, cache: Path) -> tuple[str, int, int]:
    """One record in a process of its own: its line's field, kernels loaded, kernels compiled."""
    child = subprocess.run(
        [sys.executable, "-c", STEP_ONCE, str(folder), str(cache)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    field, hits, misses = child.stdout.split()
    return field, int(hits), int(misses)


def _folder(path: Path, definition: str = DEFINITION, steps: str = STEPS, inner: str = INNER) -> Path:
    return stepping.write_type(path, definition, steps=steps, inner=inner)


@pytest.mark.slow
def test_a_second_process_compiles_nothing_and_an_edited_import_gives_the_new_result(tmp_path: Path) -> None:
    folder, cache = _folder(tmp_path / "type"), tmp_path / "cache"
    assert _in_child(folder, cache) == ("y=6.0", 0, 1)
    assert _in_child(folder, cache) == ("y=6.0", 1, 0)
    _folder(folder, inner=INNER.replace("2.0", "5.0"))
    assert _in_child(folder, cache) == ("y=15.0", 0, 1)
    _folder(folder, inner=INNER.replace("FACTOR * x", "FACTOR * x + 1.0"))
    assert _in_child(folder, cache) == ("y=7.0", 0, 1)
    _folder(folder)
    assert _in_child(folder, cache) == ("y=6.0", 1, 0)


FILTER = """\
name: probe
version: 1.0.0
inputs: {a: {}}
pipeline:
  - name: s
    step: extended_kalman_filter
    config: {transition: "steps.py:keep", measurement: "steps.py:seen", x0: [0], Q: [[1]], R: [[1]], measurements: [a]}
    outputs: [y, residual]
outputs: {timeseries: {fields: [y]}}
"""
MODEL = "def keep(x, out):\n    out[0] = x[0]\n\ndef seen(x, out):\n    out[0] = x[0]\n"


@pytest.mark.slow
def test_what_a_built_in_calls_in_the_folder_is_loaded_with_it_and_compiled_anew_when_edited(tmp_path: Path) -> None:
    folder, cache = _folder(tmp_path / "type", FILTER, MODEL), tmp_path / "cache"
    for times in ((0, 1), (1, 0)):
        field, *found = _in_child(folder, cache)
        # P = 1 + 1, K = 2/3.
        assert float(field.removeprefix("y=")) == pytest.approx(2.0)
        assert tuple(found) == times
    _folder(folder, FILTER, MODEL.replace("out[0] = x[0]\n\n", "out[0] = x[0] + 3.0\n\n"))
    field, *found = _in_child(folder, cache)
    assert float(field.removeprefix("y=")) == pytest.approx(3.0)
    assert found == [0, 1]


@pytest.mark.slow
def test_nor_does_it_where_a_step_between_compiled_ones_is_plain_python(tmp_path: Path) -> None:
    last = (
        '  - {name: t, step: "steps.py:step", compiled: false, inputs: {a: y}, state: {total: {}}, outputs: {z: {}}}\n'
    )
    definition = DEFINITION.replace(
        "outputs: {timeseries: {fields: [y]}}", last + "outputs: {timeseries: {fields: [z]}}"
    )
    folder, cache = _folder(tmp_path / "type", definition), tmp_path / "cache"
    assert _in_child(folder, cache) == ("z=12.0", 0, 2)
    assert _in_child(folder, cache) == ("z=12.0", 2, 0)


def test_functions_that_call_each_other_or_themselves_are_a_fault(tmp_path: Path) -> None:
    each_other = """\
def even(n):
    if n < 1.0:
        return 1.0
    return odd(n - 1.0)


def odd(n):
    if n < 1.0:
        return 0.0
    return even(n - 1.0)


def step(state, a):
    return even(a)
"""
    (problem,) = check_folder(_folder(tmp_path / "type", steps=each_other), tmp_path / "cache")
    assert (problem.file, problem.line, problem.path) == ("steps.py", 1, "even")
    assert problem.message == "even and odd call each other"
    itself = each_other.replace("odd(n - 1.0)", "1.0 - even(n - 1.0)")
    (problem,) = check_folder(_folder(tmp_path / "type", steps=itself), tmp_path / "cache")
    assert (problem.line, problem.message) == (1, "even calls itself")


def test_a_function_that_no_file_holds_is_compiled_or_a_fault_like_any_other(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "type", steps="step = eval('lambda state, a: a + nothing')\n")
    (problem,) = check_folder(folder, tmp_path / "cache")
    assert (problem.file, problem.line) == ("twin.yaml", 1)
    assert "name 'nothing' is not defined" in problem.message
    folder = _folder(tmp_path / "type", steps="from textwrap import shorten as step\n")
    (problem,) = check_folder(folder, tmp_path / "cache")
    assert (problem.file, problem.line, problem.message) == ("steps.py", 1, "shorten takes **kwargs")
    folder = _folder(tmp_path / "type", steps="step = eval('lambda state, a: a + 1.0')\n")
    assert check_folder(folder, tmp_path / "cache") == []


def test_two_folders_with_files_of_the_same_names_do_not_mix(tmp_path: Path) -> None:
    one = _folder(tmp_path / "one")
    other = _folder(tmp_path / "other", inner=INNER.replace("2.0", "9.0"))
    assert check_folder(one, tmp_path / "cache") == check_folder(other, tmp_path / "cache") == []
    assert "inner" not in sys.modules
    assert "steps" not in sys.modules
    assert _in_child(other, tmp_path / "cache")[0] == "y=27.0"


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ("def step(state, a):\n    x = a + 1\n    return x + 'text'\n", 3),
        ("def step(state, a):\n    return state.nothing\n", 2),
        ("def inner(s):\n    return s.nothing\n\ndef step(state, a):\n    return inner(state)\n", 4),
        ("def step(state, a):\n    for _ in range(2):\n        yield a\n", 1),
        ("def step(state, a):\n    return a, a\n", 1),
        ("def step(state, a):\n    if a > 1.0:\n        return a\n", 1),
        ("def step(state, a):\n    pass\n", 1),
        ("def step(state, a):\n    return a.nothing\n", 2),
        ("def step(state, a):\n    with open('x'):\n        return a\n", 2),
        ("import json\ndef step(state, a):\n    return json.loads('1')\n", 3),
    ],
)
def test_what_cannot_be_compiled_is_one_sentence_at_the_authors_line(tmp_path: Path, steps: str, line: int) -> None:
    problems = check_folder(_folder(tmp_path, steps=steps))
    assert len(problems) == 1
    assert (problems[0].file, problems[0].line) == ("steps.py", line)
    message = problems[0].message
    assert len(message) < 200
    assert not any(word in message for word in ("\x1b", "step_0", "row.", "nopython", "candidate", "\n", "File"))
    assert problems[0].remedy


def test_every_unknown_name_of_every_function_is_a_fault_at_its_line(tmp_path: Path) -> None:
    steps = """\
import math

def helper(a):
    return [lost for _ in range(2)][0] + a

def step(state, a):
    state.totl = a + missing
    math = helper(a)
    return state.total + gone(math)

def begin(state):
    state.sum = math.sqroot(abs(absent))
"""
    definition = DEFINITION.replace("outputs: {y: {}}}", "outputs: {y: {}}, requests: {reset: 'steps.py:begin'}}")
    problems = check_folder(_folder(tmp_path, definition=definition, steps=steps))
    assert {problem.file for problem in problems} == {"steps.py"}
    assert sorted((problem.line, problem.message) for problem in problems) == [
        (4, "helper uses lost, which is not defined"),
        (7, "step uses missing, which is not defined"),
        (7, "the state has no field totl"),
        (9, "step uses gone, which is not defined"),
        (12, "begin uses absent, which is not defined"),
        (12, "math has no sqroot"),
        (12, "the state has no field sum"),
    ]


def test_faults_of_the_definition_hide_none_of_the_code(tmp_path: Path) -> None:
    definition = """\
name: Probe
version: 1
inputs: {a: {}, time: {}, q: {type: complex}}
parameters: {p: {defualt: 1}}
pipeline:
  - {name: s, step: "steps.py:step", state: {total: {}}, outputs: [y, a]}
  - {name: t, step: "missing.py:step", outputs: [z]}
  - {name: u, stp: "steps.py:step", outputs: [w]}
  - {name: v, step: threshhold, inputs: {value: w}, outputs: [h]}
  - {name: x, step: "steps.py:nope", inputs: {value: nothere, q: q}, outputs: {k: {}}}
outputs:
  timeseries: {fields: [y, zz, w]}
  events: {hot: {when: w, egde: both}, cold: {when: nono}, full: {when: q}}
"""
    steps = "def step(state, a):\n    state.totl = gone\n    return a\n"
    found = [
        (problem.file, problem.line, problem.message) for problem in check_folder(_folder(tmp_path, definition, steps))
    ]
    assert [(line, message) for file, line, message in found if file == "twin.yaml" and line not in {1, 2}] == [
        (3, "expected 'float', 'int', 'bool' or 'string', got \"complex\""),
        (3, "time is reserved"),
        (4, "is missing"),
        (4, 'unknown key "defualt"'),
        (6, "a is one of inputs already"),
        (7, "no file missing.py"),
        (8, "is missing"),
        (8, 'unknown key "stp"'),
        (9, "no built-in threshhold"),
        (10, "no field nothere before this step"),
        (10, "no function nope in steps.py"),
        (12, "no field zz"),
        (13, 'unknown key "egde"'),
        (13, "no field nono"),
        (13, "w is float"),
    ]
    assert [line for file, line, _ in found if file == "twin.yaml" and line in {1, 2}] == [1, 2]
    assert [(file, line, message) for file, line, message in found if file != "twin.yaml"] == [
        ("steps.py", 2, "the state has no field totl"),
        ("steps.py", 2, "step uses gone, which is not defined"),
    ]


@pytest.mark.parametrize(
    ("steps", "line", "message"),
    [
        ("def step(state, a:\n    return a\n", 1, "syntax error"),
        ("import math\nimport no_such_library\n", 2, "no_such_library"),
        ("x = 1 / 0\n", 1, "ZeroDivisionError"),
        ("def other(a):\n    return a\n", 0, "no function step"),
        ("step = 5\n", 0, "no function step"),
        ("def step(state, a, unheard_of):\n    return a\n", 0, "unheard_of"),
        ("class step:\n    pass\n", 0, "step"),
        ("import functools, math\nstep = functools.partial(math.pow, 2)\n", 0, "step"),
        ("from math import sin as step\n", 0, "step"),
    ],
)
def test_code_that_cannot_be_used_is_a_fault_with_its_place(
    tmp_path: Path, steps: str, line: int, message: str
) -> None:
    problems = check_folder(_folder(tmp_path, steps=steps))
    assert len(problems) == 1, problems
    assert message in str(problems[0])
    if line:
        assert (problems[0].file, problems[0].line) == ("steps.py", line)


@pytest.mark.parametrize(
    ("before", "after", "messages"),
    [
        ("steps.py:step", "missing.py:step", ["no file missing.py"]),
        ("steps.py:step", "no_such_built_in", ["no built-in no_such_built_in"]),
        ("state: {total: {}}, ", "", ["takes state"]),
        ("outputs: {y: {}}}", "inputs: {zz: a}, outputs: {y: {}}}", ["no argument zz"]),
        (
            "pipeline:\n",
            "pipeline:\n  - {name: t, step: threshold, config: {abbove: 1}, inputs: {value: a}, outputs: [h]}\n",
            ["config"],
        ),
        (
            "pipeline:\n",
            "pipeline:\n  - {name: t, step: running_statistics, inputs: {valu: a}, outputs: [n], state: {s: {}}}\n",
            ["no argument valu", "gives 3 outputs", "declares its own state"],
        ),
        (
            "outputs: {y: {}}}",
            "outputs: {y: {}}, requests: {reset: 'steps.py:nothing'}}",
            ["no function nothing"],
        ),
    ],
)
def test_faults_between_definition_and_code_are_all_reported(
    tmp_path: Path, before: str, after: str, messages: list[str]
) -> None:
    definition = DEFINITION.replace(before, after, 1)
    assert definition != DEFINITION
    problems = check_folder(_folder(tmp_path, definition=definition))
    for message in messages:
        assert any(message in str(problem) for problem in problems), problems


def test_a_twin_whose_row_no_kafka_topic_takes_is_a_fault(tmp_path: Path) -> None:
    fields = ", ".join(f"s{number}: {{shape: [64, 64]}}" for number in range(29))
    definition = DEFINITION.replace("state: {total: {}}", f"state: {{total: {{}}, {fields}}}")
    (problem,) = check_folder(_folder(tmp_path, definition=definition))
    assert "row takes 950424 bytes" in problem.message


def test_a_handler_without_a_state_to_take_is_a_fault_and_not_a_surprise(tmp_path: Path) -> None:
    definition = DEFINITION.replace("state: {total: {}}, ", "requests: {reset: 'steps.py:start'}, ")
    steps = "def step(a):\n    return a\n\ndef start(state):\n    state.total = 0.0\n"
    problems = check_folder(_folder(tmp_path, definition=definition, steps=steps))
    assert [problem.file for problem in problems] == ["steps.py"]


def test_a_handler_that_takes_what_nobody_has_is_a_fault(tmp_path: Path) -> None:
    definition = DEFINITION.replace("outputs: {y: {}}}", "outputs: {y: {}}, requests: {reset: 'steps.py:start'}}")
    steps = STEPS + "\ndef start(state, unheard_of):\n    state.total = 0.0\n"
    problems = check_folder(_folder(tmp_path, definition=definition, steps=steps))
    assert ["unheard_of" in problem.message for problem in problems] == [True]
