"""What beginners write, and what they are told to write instead: short, in Python's and YAML's words."""

from pathlib import Path

import pytest
from support import stepping

from schemas.choices import some_of
from schemas.definition_file import examine
from twins.check import check_folder

DEFINITION = """\
name: machine
version: 1.0.0
inputs: {a: {range: [0, 4]}, b: {type: bool}}
parameters: {k: {default: 2.0}}
pipeline:
  - name: one
    step: steps.py:one
    state: {v: {shape: [3]}, m: {shape: [2, 3]}, t: {}}
    outputs: {y: {}}
outputs: {timeseries: {fields: [y]}}
"""
INSTEAD = "outputs: {timeseries: {fields: [y]}}"


@pytest.mark.parametrize(
    ("before", "after", "path", "message", "remedy"),
    [
        (INSTEAD, 'outputs: {events: {e: {when: "y > 3"}}}', "outputs.events.e.when", "'y > 3' is a condition", "bool"),
        (
            INSTEAD,
            "outputs: {commands: {c: {field: y, when: not b}}}",
            "outputs.commands.c.when",
            "a condition",
            "bool",
        ),
        (INSTEAD, "outputs: {status: {stale: a > k}}", "outputs.status.stale", "'a > k' is a condition", "bool"),
        ("    step: s", "\tstep: s", "", "no YAML: a tab where only spaces may be", "write spaces instead of the tab"),
        ("    state: {v", "    state:\t{v", "", "no YAML: a tab where", "write spaces instead of the tab"),
        (
            "{k: ",
            "{dt_s: {default: 1}, k: ",
            "parameters.dt_s",
            "built-in name",
            "(event time since the",
        ),
        (
            "{y: {}}",
            "{records: {}, y: {}}",
            "pipeline.0.outputs.records",
            "built-in name",
            "every step may take",
        ),
    ],
)
def test_a_fault_of_the_definition_says_what_to_write(
    before: str, after: str, path: str, message: str, remedy: str
) -> None:
    (problem,) = examine(DEFINITION.replace(before, after, 1)).problems
    assert problem.path == path
    assert message in problem.message
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("body", "line", "message", "remedy"),
    [
        ("if state.v > 1.0:\n    a = 2.0\nreturn a", 4, "one takes an array for true or false", ".any() or .all()"),
        ("return a if state.v else 0.0", 4, "one takes an array for true or false", ".any() or .all()"),
        ("state.t = state.v\nreturn a", 4, "one writes an array into its state t, which is one number", "one element"),
        ("return math.sqrt(state.v)", 4, "there is no sqrt(array of 3)", "take one element of the array"),
        ("return float(state.m)", 4, "there is no float(array of 2 x 3)", "take one element of the array"),
        ("state.v = [1.0, a, 3.0]\nreturn a", 4, "Cannot cast list(float) to array of 3", "take one element"),
    ],
)
def test_an_array_taken_for_a_number_is_told_in_words(
    tmp_path: Path, body: str, line: int, message: str, remedy: str
) -> None:
    steps = "import math\nimport numpy\ndef one(state, a):\n" + "".join(f"    {row}\n" for row in body.splitlines())
    (problem,) = check_folder(stepping.write_type(tmp_path, DEFINITION, steps=steps))
    assert (problem.file, problem.line, problem.path) == ("steps.py", line, "one")
    assert problem.message.endswith(message)
    assert remedy in problem.remedy
    assert not any(word in problem.message for word in ("nestedarray", "float64", "%", "load"))


def test_the_default_of_an_argument_is_to_be_declared(tmp_path: Path) -> None:
    steps = "def one(state, a, gain=2.0):\n    return a * gain\n"
    (problem,) = check_folder(stepping.write_type(tmp_path, DEFINITION, steps=steps))
    assert problem.path == "pipeline.0.inputs"
    assert problem.remedy.startswith(
        "its default is not used: declare gain: {default: 2.0} under parameters, or map it"
    )


def test_of_many_names_the_nearest_are_shown_and_where_all_of_them_are() -> None:
    many = [f"sensor_{number}" for number in range(30)]
    assert some_of([*many, "weighted_average"], "average", "all are inputs") == (
        "weighted_average, sensor_9, sensor_8, …; all are inputs"
    )
    assert some_of(["b", "a"], "zz", "all are inputs") == "a, b"
    assert some_of([], "zz", "all are inputs") == "none"
    (problem,) = examine(
        f"name: a\nversion: 1.0.0\ninputs: {{{', '.join(f'{name}: {{}}' for name in many)}}}\n"
        "outputs: {timeseries: {fields: [sensor_222]}}\n"
    ).problems
    assert len(problem.remedy) < 100
    assert "sensor_22" in problem.remedy
