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


PUMP = """\
name: pump
version: 1.0.0
inputs:
  flow: {unit: L/min, range: [0, 50]}
  running: {type: bool}
parameters:
  limit: {unit: L/min, default: 40}
pipeline:
  - name: smooth
    step: exponential_average
    inputs: {value: flow}
    config: {time_constant_s: 60}
    outputs: {smoothed: {unit: L/min}}
  - name: judge
    step: steps.py:judge
    outputs: {high: {type: bool}}
outputs:
  timeseries: {fields: [smoothed]}
  events: {high: {when: high}}
"""


@pytest.mark.parametrize(
    ("before", "after", "line", "path", "remedy"),
    [
        ("type: bool", "type: boolean", 5, "inputs.running.type", "write bool"),
        ("type: bool", "type: number", 5, "inputs.running.type", "write float"),
        ("type: bool", "type: int32", 5, "inputs.running.type", "write int"),
        ("range: [0, 50]", "max: 50", 4, "inputs.flow.max", "remove it, or write range; keys here"),
        ("range: [0, 50]", "maxAgeS: 50", 4, "inputs.flow.maxAgeS", "remove it, or write max_age_s"),
        (
            "  flow: {unit: L/min, range: [0, 50]}\n  running: {type: bool}",
            "  - flow\n  - running",
            3,
            "inputs",
            "write it as {flow: …, running: …}",
        ),
        ("  running: {type: bool}", "  running:", 5, "inputs.running", "write {} where there is nothing to say"),
        ("{unit: L/min, default: 40}", "40", 7, "parameters.limit", "write it as {default: 40}"),
        ("default: 40", "default: 40,5", 7, "parameters.limit.5", "write a point in a decimal number, not a comma"),
        ("default: 40", "default: [40]", 7, "parameters.limit.default", "write a number, true or false"),
        ("exponential_average", "ExponentialAverage", 10, "pipeline.0.step", "write exponential_average"),
        ("exponential_average", "exponential-average", 10, "pipeline.0.step", "write exponential_average"),
        ("steps.py:judge", "steps:judge", 15, "pipeline.1.step", "write steps.py:judge"),
        ("steps.py:judge", "steps.judge", 15, "pipeline.1.step", "write steps.py:judge"),
        (
            "{smoothed: {unit: L/min}}",
            "{smoothed: L/min}",
            13,
            "pipeline.0.outputs.smoothed",
            "write it as {unit: L",
        ),
        ("fields: [smoothed]", "fields: smoothed", 18, "outputs.timeseries.fields", "write it as [smoothed]"),
        ("{high: {when: high}}", "{high: high}", 19, "outputs.events.high", "write it as {when: high}"),
        ("{high: {when: high}}", "[high]", 19, "outputs.events", "write it as {high: …}"),
        ("when: high", "when: high, severity: error", 19, "outputs.events.high.severity", "write critical"),
        ("pipeline:", "pipline:", 8, "pipline", "remove it, or write pipeline"),
        ("name: pump", "name: pump\ndescription: Pump: the main one", 2, "", "quote a text that holds a colon"),
        ("name: pump", "name: pump\ndescription: @home", 2, "", "quote a text that begins so"),
        ("  running:", " running:", 5, "", "let the keys of one mapping begin in the same column"),
    ],
)
def test_what_is_nearly_right_is_told_as_it_must_be_written(
    before: str, after: str, line: int, path: str, remedy: str
) -> None:
    assert before in PUMP
    (problem,) = examine(PUMP.replace(before, after, 1)).problems
    assert (problem.line, problem.path) == (line, path)
    assert problem.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    if smoothed > limit:\n        return True\n", "judge returns nothing on one of its ways"),
        ("    return (smoothed > limit,)\n", "judge returns a tuple of one"),
    ],
)
def test_a_boolean_that_is_not_always_one_is_told(tmp_path: Path, body: str, message: str) -> None:
    (problem,) = check_folder(stepping.write_type(tmp_path, PUMP, steps=f"def judge(smoothed, limit):\n{body}"))
    assert (problem.file, problem.line, problem.message) == ("steps.py", 1, f"{message}, but the step has 1 output")


A, K = "a: {range: [0, 4]}", "k: {default: 2.0}"


@pytest.mark.parametrize(
    ("before", "after", "remedy"),
    [
        (A, "a: {range: [4, 0]}", "write [smallest, largest]"),
        (K, "k: {default: 2.0, range: [0, 1]}", "write a value within the limits, or mend those"),
        (K, 'k: {default: "0.001"}', "write a number, without quotes"),
        (K, 'k: {default: "0,001"}', "write a point, not a comma, and no quotes"),
        (A, "a: {max_age_s: k}", "write a number; it can't be the name of a parameter or field"),
        (K, "k: {type: string, choices: [x], default: y}", "choose one of them"),
    ],
)
def test_a_value_that_can_not_be_has_a_remedy(before: str, after: str, remedy: str) -> None:
    (problem,) = examine(DEFINITION.replace(before, after, 1)).problems
    assert problem.remedy == remedy


def test_a_misspelt_missing_makes_no_defaults_unused() -> None:
    text = DEFINITION.replace(A, "a: {default: 1.0}", 1).replace("parameters:", "missing: holdlast\nparameters:", 1)
    assert [one.path for one in examine(text).problems] == ["missing"]


def test_a_text_parameter_as_an_argument_says_that_no_step_sees_it(tmp_path: Path) -> None:
    text = DEFINITION.replace(K, "k: {type: string, default: here}")
    found = check_folder(stepping.write_type(tmp_path, text, steps="def one(state, a, k):\n    return a\n"))
    assert [(one.message, one.remedy) for one in found] == [
        (
            "steps.py:one takes k, a parameter that is any text, which no step sees",
            "give it choices: a step gets the index among them; or leave k out",
        )
    ]
