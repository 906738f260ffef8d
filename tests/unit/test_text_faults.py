"""A step gets one of `choices` as its index: what takes it for a text is a fault that says what to write."""

from pathlib import Path

import pytest
from support import stepping

from schemas.definition_file import examine
from schemas.errors import Problem
from twins.authored import AuthoredCode
from twins.text_faults import handler_text_faults, text_faults
from twins.wiring import wire

DEFINITION = """\
name: machine
version: 1.0.0
inputs: {a: {}}
parameters:
  mode: {type: string, choices: [auto, manual], default: auto}
requests:
  mend: {arguments: {why: {type: string}, how: {type: string, choices: [well, badly]}}}
pipeline:
  - {name: one, step: "steps.py:one", compiled: COMPILED, outputs: [y], requests: {mend: "steps.py:mend"}}
"""
INDEX = "mode comes as the index among its choices, never equal to"


def _told(folder: Path, steps: str, *, compiled: bool = True) -> list[Problem]:
    text = DEFINITION.replace("COMPILED", str(compiled).lower())
    code = AuthoredCode(stepping.write_type(folder, text, steps=f"MANUAL = 'manual'\n{steps}"))
    definition = examine(text).definition
    assert definition is not None
    (step,) = wire(definition, code)
    return text_faults(step, definition, code) + handler_text_faults(
        code.function("steps.py:mend"), "mend", definition, code
    )


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("step", "line", "message", "remedy"),
    [
        (
            "def one(a, mode):\n    return a if mode == 'manual' else 0.0",
            3,
            f"{INDEX} 'manual'",
            "write mode == 1: 0 is",
        ),
        (
            "def one(a, mode):\n    return a if 'manul' != mode else 0.0",
            3,
            f"{INDEX} 'manul'",
            "0 is auto, 1 is manual",
        ),
        ("def one(a, mode):\n    return a if mode in ('auto', 'off') else 0.0", 3, f"{INDEX} 'auto'", "mode == 0"),
        ("def one(a, mode):\n    return a if mode == MANUAL else 0.0", 3, f"{INDEX} 'manual'", "mode == 1"),
        (
            "def one(a, mode):\n    match mode:\n        case 'manual':\n            return a\n    return 0.0",
            4,
            f"{INDEX} 'manual'",
            "mode == 1",
        ),
        ("def one(a, mode: str):\n    return a", 2, "mode comes as the index among its choices, not as a str", "int"),
        (
            "def one(a):\n    return 1.0 if a == 'on' else 0.0",
            3,
            "a comes as a number, never equal to 'on'",
            "a number",
        ),
    ],
)
def test_a_step_that_takes_an_index_for_its_text(
    tmp_path: Path, step: str, line: int, message: str, remedy: str, *, compiled: bool
) -> None:
    (problem,) = _told(tmp_path, f"{step}\n\ndef mend(why):\n    pass\n", compiled=compiled)
    assert (problem.file, problem.line, problem.path, problem.message) == ("steps.py", line, "one", message)
    assert remedy in problem.remedy


def test_a_handler_gets_any_text_as_one_and_a_choice_as_its_index(tmp_path: Path) -> None:
    steps = "def one(a, mode):\n    return a if mode == 1 else 0.0\n\n"
    steps += "def mend(why: str, how):\n    return 'no' if why == 'late' or how == 'badly' else None\n"
    (problem,) = _told(tmp_path, steps)
    assert (problem.line, problem.path) == (6, "mend")
    assert problem.message == "how comes as the index among its choices, never equal to 'badly'"
    assert problem.remedy.startswith("write how == 1: 0 is well")
