"""Whatever is wrong with a twin type's folder is told at its line, in words, and never as a trace."""

import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.wrong_definitions import KINDS, Wrong

from infra.authoring.template import DEFINITION as TEMPLATE
from schemas.definition_file import examine
from schemas.errors import Problem
from twins.check import check_folder

ROOT = Path(__file__).parents[2]
EXAMPLES = [*sorted((ROOT / "examples").glob("*/twin.yaml")), ROOT / "tests" / "types" / "everything" / "twin.yaml"]
TANK = (ROOT / "tests" / "types" / "tank" / "twin.yaml").read_text()
MOST = 40
"""Faults of one kind and example that are tried; evenly spread over the file."""

LINE = re.compile(r"(?P<file>[^:]+):(?P<line>[1-9]\d*): (?P<path>[\w.\-\[\]]+): (?P<message>.+) \((?P<remedy>.+)\)")


@pytest.fixture(autouse=True)
def _without_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The faults here come before that, and compiling takes seconds."""
    monkeypatch.setattr("twins.check.compile_faults", lambda *_: [])


def _is_told(problem: Problem) -> bool:
    found = LINE.fullmatch(str(problem))
    return found is not None and "Traceback" not in str(problem)


@pytest.mark.slow
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_example_made_wrong_in_every_place_is_told_at_its_line(
    tmp_path: Path, file: Path, kind: Callable[[str], Iterator[Wrong]]
) -> None:
    for other in file.parent.glob("*.py"):
        (tmp_path / other.name).write_bytes(other.read_bytes())
    wrongs = list(kind(file.read_text()))
    missed = []
    for wrong in wrongs[:: len(wrongs) // MOST + 1]:
        (tmp_path / "twin.yaml").write_text(wrong.text)
        problems = check_folder(tmp_path)
        if not all(map(_is_told, problems)) or wrong.line not in {
            problem.line for problem in problems if problem.file == "twin.yaml"
        }:
            missed.append((wrong.what, wrong.line, list(map(str, problems))))
    assert missed == []
    assert wrongs


PUMP = """\
name: pump
version: 1.0.0
inputs:
  flow: {unit: m**3/s, range: [0, 10]}
  running: {type: bool}
parameters:
  limit: {unit: m**3/s, default: 5, range: [1, 9]}
pipeline:
  - name: smooth
    step: exponential_average
    inputs: {value: flow}
    config: {time_constant_s: 60}
    outputs: {smoothed: {unit: m**3/s}}
  - name: judge
    step: steps.py:judge
    state: {count: {type: int}}
    outputs: {high: {type: bool}, share: {}}
    requests: {clear: steps.py:clear}
requests:
  clear: {}
  limit:
    arguments: {limit: {unit: m**3/s}}
    sets: {limit: limit}
outputs:
  timeseries: {fields: [smoothed, share]}
  events: {high: {when: high, data: [share]}}
  commands: {speed: {field: share, range: [0, 1]}}
"""
STEPS = """\
import math


def judge(state, smoothed, limit, running):
    if running and smoothed > limit:
        state.count += 1
    return smoothed > limit, smoothed / limit


def clear(state):
    state.count = 0
"""
CODE = [
    # what is wrong, before, after, file, line, path, part of the message
    ("syntax", "state.count += 1", "state.count +=", "steps.py", 6, "file", "syntax error"),
    (
        "indentation",
        "        state.count += 1",
        "       state.count += 1\n      x = 1",
        "steps.py",
        7,
        "file",
        "syntax error",
    ),
    ("tab and space", "    return", "\treturn", "steps.py", 7, "file", "syntax error"),
    ("no library", "import math", "import no_such_library", "steps.py", 1, "file", "ModuleNotFoundError"),
    ("raises", "import math", "LIMIT = 1 / 0", "steps.py", 1, "file", "ZeroDivisionError"),
    ("exits", "import math", "import sys; sys.exit('no')", "steps.py", 1, "file", "SystemExit"),
    ("exits within", "import math", "def f():\n    raise SystemExit\nf()", "steps.py", 2, "file", "SystemExit"),
    ("imports itself", "import math", "from steps import judge", "steps.py", 1, "file", "import failed"),
    ("runs on and on", "import math", "def f(): return f()\nf()", "steps.py", 1, "file", "RecursionError"),
    ("NUL", "import math", "import math\0", "steps.py", 1, "file", ""),
    ("unknown name", "/ limit", "/ limits", "steps.py", 7, "judge", "judge uses limits, which is not defined"),
    ("unknown function", "smoothed / limit", "math.ratio(smoothed)", "steps.py", 7, "judge", "math has no ratio"),
    ("unknown state", "state.count += 1", "state.counts += 1", "steps.py", 6, "judge", "the state has no field counts"),
    ("handler's state", "state.count = 0", "state.total = 0", "steps.py", 11, "clear", "the state has no field total"),
    ("handler's argument", "clear(state)", "clear(state, flaw)", "steps.py", 10, "clear", "clear takes flaw"),
    ("argument", "running):", "speed):", "twin.yaml", 14, "pipeline.1.inputs", "takes speed, which is no field here"),
    ("any arguments", "running):", "running, *more):", "steps.py", 4, "judge", "judge takes *more"),
    ("any names", "running):", "running, **more):", "steps.py", 4, "judge", "judge takes **more"),
    ("by keyword only", "running):", "*, running):", "steps.py", 4, "judge", "takes running by keyword only"),
    ("async", "def judge(", "async def judge(", "steps.py", 4, "judge", "judge is async"),
    ("yields", "    return smoothed", "    yield smoothed", "steps.py", 4, "judge", "judge yields"),
    (
        "compiled already",
        "def judge(",
        "import numba\n@numba.njit\ndef judge(",
        "twin.yaml",
        15,
        "pipeline.1.step",
        "compiled already",
    ),
    ("no function", "def judge(", "def judged(", "twin.yaml", 15, "pipeline.1.step", "no function judge in steps.py"),
    ("no handler", "def clear(", "def clean(", "twin.yaml", 18, "pipeline.1.requests.clear", "no function clear"),
    (
        "a class",
        "def clear(state):\n    state.count = 0",
        "class clear: pass",
        "twin.yaml",
        18,
        "pipeline.1.requests.clear",
        "",
    ),
]


def pump(folder: Path, definition: str = PUMP, **files: str) -> list[Problem]:
    folder.mkdir(exist_ok=True)
    (folder / "twin.yaml").write_text(definition)
    for name, text in ({"steps": STEPS} | files).items():
        (folder / f"{name}.py").write_text(text)
    return check_folder(folder)


def _found(problems: list[Problem], file: str, line: int, path: str, message: str) -> bool:
    assert all(map(_is_told, problems)), list(map(str, problems))
    return any(
        (problem.file, problem.line, problem.path) == (file, line, path) and message in problem.message
        for problem in problems
    )


def test_the_pump_is_right(tmp_path: Path) -> None:
    assert pump(tmp_path) == []


@pytest.mark.parametrize(
    ("before", "after", "file", "line", "path", "message"), [c[1:] for c in CODE], ids=[c[0] for c in CODE]
)
def test_a_fault_of_the_code_is_told_at_its_line(
    tmp_path: Path, before: str, after: str, file: str, line: int, path: str, message: str
) -> None:
    assert before in STEPS
    problems = pump(tmp_path, steps=STEPS.replace(before, after, 1))
    assert _found(problems, file, line, path, message), list(map(str, problems))


def test_a_fault_in_a_file_that_a_step_imports_is_told_there(tmp_path: Path) -> None:
    steps = STEPS.replace("import math", "from inner import ratio")
    assert _found(pump(tmp_path, steps=steps, inner="x = 1\ny = (\n"), "inner.py", 2, "file", "syntax error")
    assert _found(pump(tmp_path, steps=steps, inner="x = 1\ny = {}['a']\n"), "inner.py", 2, "file", "KeyError")
    assert _found(pump(tmp_path, steps=steps, inner="x = 1\n"), "steps.py", 1, "file", "ImportError")
    ring = "from steps import judge\n\ndef ratio(a):\n    return a\n"
    assert _found(pump(tmp_path, steps=steps, inner=ring), "steps.py", 1, "file", "circular import")


PLACES = [
    ("name of another kind", "name: pump", "name: 5", 1, "name", "5 is a number in YAML"),
    ("name outside of the grammar", "name: pump", "name: Pump", 1, "name", "must be"),
    ("project in the name", "name: pump", "name: site-pump", 1, "name", "a field of its own"),
    ("version of two numbers", "version: 1.0.0", "version: 1.0", 2, "version", "1.0 is a number in YAML"),
    ("version of one word", "version: 1.0.0", "version: one", 2, "version", "expected three numbers"),
    ("no version", "version: 1.0.0\n", "", 1, "version", "is missing"),
    (
        "no inputs",
        "  flow: {unit: m**3/s, range: [0, 10]}\n  running: {type: bool}\n",
        "",
        3,
        "inputs",
        "expected keys",
    ),
    ("unknown key", "version:", "colour: red\nversion:", 2, "colour", "unknown key"),
    ("unknown type", "type: bool}\npar", "type: boolean}\npar", 5, "inputs.running.type", "expected 'float'"),
    (
        "an input that is a text",
        "type: bool}\npar",
        "type: string, choices: [a]}\npar",
        5,
        "inputs.running",
        "an input is",
    ),
    ("range of three", "range: [0, 10]", "range: [0, 5, 10]", 4, "inputs.flow.range", "at most 2"),
    ("range of one", "range: [0, 10]", "range: [0]", 4, "inputs.flow.range.1", "is missing"),
    ("range reversed", "range: [0, 10]", "range: [10, 0]", 4, "inputs.flow.range", "the smaller first"),
    ("range without end", "range: [0, 10]", "range: [0, .inf]", 4, "inputs.flow.range", "finite"),
    ("range of texts", "range: [0, 10]", "range: [low, high]", 4, "inputs.flow.range.0", "expected a number"),
    (
        "range of a boolean",
        "{type: bool}\npar",
        "{type: bool, range: [0, 1]}\npar",
        5,
        "inputs.running.range",
        "need type",
    ),
    (
        "default of an input beyond its range",
        "range: [0, 10]}",
        "range: [0, 10], default: 11}",
        4,
        "inputs.flow.default",
        "not in [0.0, 10.0]",
    ),
    (
        "default of an input of another type",
        "{type: bool}\npar",
        "{type: bool, default: 1}\npar",
        5,
        "inputs.running.default",
        "expected true or false",
    ),
    (
        "default of an input that is never missing",
        "{type: bool}\npar",
        "{type: bool, default: true}\npar",
        5,
        "inputs.running.default",
        "is never used",
    ),
    ("default out of range", "default: 5", "default: 10", 7, "parameters.limit.default", "not in [1.0, 9.0]"),
    ("default of another type", "default: 5", "default: five", 7, "parameters.limit.default", "expected float"),
    ("no default", "default: 5, ", "", 7, "parameters.limit.default", "is missing"),
    ("default beyond floats", "default: 5", f"default: {'9' * 400}", 7, "parameters.limit.default", "does not fit"),
    ("default beyond Python", "default: 5", f"default: {'9' * 5000}", 7, "parameters.limit.default", "can't be read"),
    ("day that is none", "default: 5", "default: 2026-02-30", 7, "parameters.limit.default", "can't be read"),
    ("unit unknown", "unit: m**3/s, default", "unit: m**zz, default", 7, "parameters.limit.unit", "no unit m**zz"),
    (
        "unit of another kind",
        "unit: m**3/s, default",
        "unit: 3, default",
        7,
        "parameters.limit.unit",
        "a number in YAML",
    ),
    ("name given twice", "  limit: {unit", "  flow: {unit", 7, "parameters.flow", "flow is one of inputs already"),
    ("reserved name", "  running:", "  seq:", 5, "inputs.seq", "seq is reserved"),
    ("ambient name", "  running:", "  dt_s:", 5, "inputs.dt_s", "a built-in name already"),
    ("name with a dash", "  running:", "  run-ning:", 5, "inputs.run-ning", "must be"),
    ("name in YAML's words", "  running:", "  on:", 5, "inputs.on", "on is a boolean in YAML"),
    ("key given twice", "  running:", "  flow: {}\n  running:", 5, "inputs.flow", "key given twice, first in line 4"),
    ("key in flow style twice", "{type: bool}\npar", "{type: bool, type: int}\npar", 5, "inputs.running.type", "twice"),
    ("step given twice", "name: judge", "name: smooth", 14, "pipeline.1.name", "a second step smooth"),
    ("no name of a step", "  - name: smooth\n    step", "  - step", 9, "pipeline.0.name", "is missing"),
    (
        "no such built-in",
        "exponential_average",
        "exponential_avg",
        10,
        "pipeline.0.step",
        "no built-in exponential_avg",
    ),
    ("no such file", "steps.py:judge", "step.py:judge", 15, "pipeline.1.step", "no file step.py"),
    (
        "a path out of the folder",
        "steps.py:judge",
        "../steps.py:judge",
        15,
        "pipeline.1.step",
        "must be file.py:function",
    ),
    (
        "unknown field",
        "{value: flow}",
        "{value: flaw}",
        11,
        "pipeline.0.inputs.value",
        "no field flaw before this step",
    ),
    (
        "field of a later step",
        "{value: flow}",
        "{value: share}",
        11,
        "pipeline.0.inputs.value",
        "no field share before",
    ),
    ("unknown argument", "{value: flow}", "{valu: flow}", 11, "pipeline.0.inputs.valu", "has no argument valu"),
    (
        "unknown setting",
        "time_constant_s: 60",
        "time_constant: 60",
        12,
        "pipeline.0.config.time_constant",
        "unknown key",
    ),
    (
        "setting of another type",
        "constant_s: 60",
        "constant_s: long",
        12,
        "pipeline.0.config.time_constant_s",
        "a number",
    ),
    (
        "setting out of range",
        "constant_s: 60",
        "constant_s: 0",
        12,
        "pipeline.0.config.time_constant_s",
        "greater than 0",
    ),
    ("setting that is no number", "constant_s: 60", "constant_s: .nan", 12, "pipeline.0.config.time_constant_s", ""),
    (
        "settings of a function",
        "    state: {c",
        "    config: {a: 1}\n    state: {c",
        16,
        "pipeline.1.config",
        "only a built-in",
    ),
    ("no outputs", "    outputs: {smoothed: {unit: m**3/s}}\n", "", 9, "pipeline.0.outputs", "is missing"),
    ("too many outputs", "{smoothed: {", "{more: {}, smoothed: {", 13, "pipeline.0.outputs", "gives 1 output"),
    (
        "output named as an input",
        "{smoothed: {",
        "{flow: {",
        13,
        "pipeline.0.outputs.flow",
        "flow is one of inputs already",
    ),
    (
        "output in the wrong unit",
        "smoothed: {unit: m**3/s}",
        "smoothed: {unit: m}",
        13,
        "pipeline.0.outputs.smoothed.unit",
        "in m**3/s",
    ),
    ("state of no shape", "{type: int}", "{shape: [0]}", 16, "pipeline.1.state.count.shape.0", "at least 1"),
    ("state of three axes", "{type: int}", "{shape: [2, 2, 2]}", 16, "pipeline.1.state.count.shape", "at most 2"),
    ("state that is a word of Python", "{count: {", "{lambda: {", 16, "pipeline.1.state.lambda", "a word of Python"),
    ("handler of no request", "{clear: steps", "{clean: steps", 18, "pipeline.1.requests.clean", "no request clean"),
    (
        "handler that is no function",
        "clear: steps.py:clear",
        "clear: clear",
        18,
        "pipeline.1.requests.clear",
        "no function of",
    ),
    ("sets no parameter", "sets: {limit:", "sets: {limits:", 23, "requests.limit.sets.limits", "no parameter limits"),
    (
        "sets a number by any text",
        "arguments: {limit: {unit: m**3/s}}",
        "arguments: {limit: {type: string}}",
        23,
        "requests.limit.sets.limit",
        "argument limit is any text, parameter limit is float",
    ),
    (
        "sets by no argument",
        "sets: {limit: limit}",
        "sets: {limit: limits}",
        23,
        "requests.limit.sets.limit",
        "no argument",
    ),
    (
        "series of no field",
        "[smoothed, share]",
        "[smoothed, shares]",
        25,
        "outputs.timeseries.fields.1",
        "no field shares",
    ),
    (
        "series of no list",
        "fields: [smoothed, share]",
        "fields: smoothed",
        25,
        "outputs.timeseries.fields",
        "expected a list",
    ),
    ("event on a number", "when: high", "when: share", 26, "outputs.events.high.when", "share is float"),
    ("event on nothing", "when: high, ", "", 26, "outputs.events.high.when", "is missing"),
    ("event of ours", "events: {high:", "events: {released:", 26, "outputs.events.released", "of twinstream itself"),
    ("unknown severity", "when: high", "when: high, severity: bad", 26, "outputs.events.high.severity", "'warning'"),
    ("command of no field", "field: share", "field: shares", 27, "outputs.commands.speed.field", "no field shares"),
    ("command's range", "range: [0, 1]}", "range: [1, 0]}", 27, "outputs.commands.speed.range", "the smaller first"),
    (
        "command that lives no time",
        "range: [0, 1]",
        "expires_s: 0",
        27,
        "outputs.commands.speed.expires_s",
        "greater than 0",
    ),
    ("no mapping", PUMP, "- name: pump\n", 1, "file", "expected a mapping"),
    ("nothing", PUMP, "", 1, "file", "expected a mapping"),
    ("a comment", PUMP, "# nothing\n", 1, "file", "expected a mapping"),
    ("two documents", "pipeline:", "---\npipeline:", 8, "file", "no YAML"),
    ("a tab", "  flow:", "\tflow:", 4, "file", "no YAML"),
    ("a mapping without an end", "range: [0, 10]}", "range: [0, 10]", 4, "file", "no YAML"),
    ("a list without an end", "[smoothed, share]}", "[smoothed, share}", 25, "file", "no YAML"),
    ("a missing colon", "version: 1.0.0", "version 1.0.0", 2, "file", "no YAML"),
    ("a missing bracket", "range: [0, 10]}", "range: [0, 10}", 4, "file", "no YAML"),
    ("a missing quote", "name: pump", 'name: "pump', 1, "file", "no YAML"),
    ("a missing indentation", "    inputs: {value: flow}", "   inputs: {value: flow}", 11, "file", "no YAML"),
    ("a control character", "name: judge", "name: ju\bdge", 14, "file", "is not permitted"),
    ("an unknown tag", "default: 5", "default: !!python/object:os.system 5", 7, "file", "no YAML"),
    ("an alias of nothing", "default: 5", "default: *five", 7, "file", "no YAML"),
    ("an alias of itself", "parameters:", "requests: &all {a: *all}\nparameters:", 1, "file", "nested too deep"),
    ("a list as a key", "  limit: {unit", "  [a, b]: {unit", 7, "file", "no YAML"),
    ("by an alias", "{type: bool}\npar", "&wrong {typ: bool}\npar", 5, "inputs.running.typ", "unknown key"),
    ("by a merge", "  running: {type: bool}", "  running: {<<: {typ: bool}}", 5, "inputs.running.typ", "unknown key"),
]


@pytest.mark.parametrize(
    ("before", "after", "line", "path", "message"), [c[1:] for c in PLACES], ids=[c[0] for c in PLACES]
)
def test_a_fault_of_the_definition_is_told_at_its_line(
    tmp_path: Path, before: str, after: str, line: int, path: str, message: str
) -> None:
    assert before in PUMP
    problems = pump(tmp_path, PUMP.replace(before, after, 1))
    assert _found(problems, "twin.yaml", line, path, message), list(map(str, problems))


def test_there_are_more_than_sixty_different_faults() -> None:
    assert len(CODE) + len(PLACES) > 60


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert pump(tmp_path, "\ufeff" + PUMP) == []
    assert pump(tmp_path, PUMP.replace("\n", "\r\n")) == []


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (PUMP.encode("utf-16"), 1, "not UTF-8"),
        (PUMP.replace("pump", "p\xfcmp", 1).encode("latin-1"), 1, "not UTF-8"),
        (PUMP.encode() + b"# \xff\n", 28, "not UTF-8"),
        (b"a: [" * 5000, 1, "nested too deep"),
        (b"- " * 5000 + b"a", 1, "nested too deep"),
        (
            b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (n + 1, n + 1, n, n) for n in range(97, 120)),
            1,
            "aliases",
        ),
        (b"x: " + b"y" * 2_000_000, 1, "longer than"),
        (b"\0", 1, "is not permitted"),
    ],
    ids=["UTF-16", "Latin-1", "last line", "deep", "deep list", "aliases", "long", "NUL"],
)
def test_a_file_that_is_no_text_is_told(tmp_path: Path, content: bytes, line: int, message: str) -> None:
    (tmp_path / "twin.yaml").write_bytes(content)
    (problem,) = check_folder(tmp_path)
    assert _found([problem], "twin.yaml", line, "file", message), str(problem)


def test_what_can_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "twin.yaml").mkdir(parents=True)
    (problem,) = check_folder(tmp_path / "a")
    assert _found([problem], "twin.yaml", 1, "file", "is no file")
    (tmp_path / "b").mkdir()
    (problem,) = check_folder(tmp_path / "b")
    assert _found([problem], "twin.yaml", 1, "file", "not found")
    pump(tmp_path / "c")
    (tmp_path / "c" / "link.py").symlink_to(tmp_path / "nowhere")
    (problem,) = check_folder(tmp_path / "c")
    assert _found([problem], "link.py", 1, "file", "is a link")
    pump(tmp_path / "d")

    def refused(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refused)
    problems = check_folder(tmp_path / "d")
    assert _found(problems, "twin.yaml", 1, "file", "can't be read: Permission denied")


def test_a_list_with_a_faulty_item_is_one_fault(tmp_path: Path) -> None:
    kalman = textwrap.dedent("""\
        name: filter
        version: 1.0.0
        inputs: {level: {}}
        pipeline:
          - name: filtering
            step: kalman_filter
            config:
              F: [[x]]
              H: [[1]]
              Q: [[1]]
              R: [[1]]
              measurements: [level]
            outputs: [estimate, residual]
        """)
    problems = pump(tmp_path, kalman)
    assert [(problem.line, problem.path) for problem in problems] == [(8, "pipeline.0.config.F.0.0")]


def test_faults_of_everything_are_told_together(tmp_path: Path) -> None:
    definition = PUMP.replace("version: 1.0.0", "version: 1").replace("m**3/s, range", "m**zz, range")
    problems = pump(tmp_path, definition.replace("when: high", "when: hi"), steps=STEPS.replace("/ limit", "/ limits"))
    assert [(problem.file, problem.line) for problem in problems] == [
        ("twin.yaml", 2),
        ("twin.yaml", 4),
        ("twin.yaml", 26),
        ("steps.py", 7),
    ]


GARBAGE = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from([*"{}[]:,-&*!|>'\"%@`#?\n\t ", "name", "version", "1.0.0", "inputs", "a: ", "- "]), max_size=60
    ).map("".join),
)


def _is_sound(text: str) -> None:
    reading = examine(text)
    assert reading.problems or reading.definition is not None
    for problem in reading.problems:
        assert problem.message
        assert problem.remedy
        assert 1 <= problem.line <= max(1, len(text.splitlines()) + 1)
        assert str(problem).isprintable()


@settings(max_examples=200)
@given(GARBAGE)
def test_no_text_at_all_ends_in_a_trace(text: str) -> None:
    _is_sound(text)


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.dates(), st.binary(max_size=3)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(), st.none()), inner, max_size=3),
    ),
    max_leaves=5,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_definition_with_anything_in_any_place_ends_in_no_trace(data: st.DataObject) -> None:
    whole: Any = yaml.safe_load(PUMP)
    part: Any = whole
    above: list[Any] = []
    while isinstance(part, dict | list) and part and (not above or data.draw(st.booleans())):
        key = data.draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
        above.append((part, key))
        part = part[key]
    container, key = above[-1]
    container[key] = data.draw(VALUES)
    _is_sound(yaml.safe_dump(whole, sort_keys=False))


def test_the_definition_of_a_new_folder_is_sound_whatever_is_cut_off() -> None:
    text = TEMPLATE.replace("NAME", "pump").replace("QUOTED", "pump")
    for end in range(0, len(text), 7):
        _is_sound(text[:end])
