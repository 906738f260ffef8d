"""What a step returns or remembers is never cut off in silence: a type that can't hold it is a fault."""

from pathlib import Path

import pytest
from support import stepping

from twins.check import check_folder

DEFINITION = """\
name: machine
version: 1.0.0
inputs: {a: {range: [2, 4]}}
pipeline:
  - name: one
    step: steps.py:one
    state: {n: {type: int}, high: {type: bool}, v: {type: int, shape: [3]}, m: {type: int, shape: [2, 2]}, x: {}}
    outputs:
      y: {type: int}
      z: {type: bool}
      w: {}
  - name: two
    step: steps.py:two
    outputs: {u: {type: int}}
outputs: {timeseries: {fields: [y]}}
"""
STEPS = """\
def one(state, a):
    state.n += a
    state.n += 1
    state.v[0] = a
    kept = state.v
    kept[1] = a
    state.m[1, 0] = a
    state.m[:, 1] = a
    state.v[2] = int(a)
    state.high = a
    state.high = state.n
    state.x = state.n
    return a / 2, a, a > 3


def two(a):
    return 3
"""
TOLD = [
    ("twin.yaml", 9, "pipeline.0.outputs.y.type", "one returns a float for y, which int can't hold"),
    ("twin.yaml", 10, "pipeline.0.outputs.z.type", "one returns a float for z, which bool can't hold"),
    *(
        ("steps.py", line, "one", f"one writes a float into its state {name}, which {kind} can't hold")
        for line, name, kind in [
            (2, "n", "int"),
            (4, "v", "int"),
            (6, "v", "int"),
            (7, "m", "int"),
            (8, "m", "int"),
            (10, "high", "bool"),
        ]
    ),
]


def test_every_float_that_an_int_or_a_boolean_can_not_hold_is_a_fault_with_its_place(tmp_path: Path) -> None:
    folder = stepping.write_type(tmp_path / "type", DEFINITION.replace("w: {}", "w: {type: bool}"), steps=STEPS)
    for _ in range(2):
        # The second time machine code is there.
        problems = check_folder(folder, tmp_path / "cache")
        assert [(one.file, one.line, one.path, one.message) for one in problems] == TOLD
    assert {one.remedy for one in problems} == {
        "write type: float, or return int(…), if its fraction is not wanted",
        "write type: float, or return a comparison, such as x > 0.0",
        "declare n with type: float, or write int(…), if its fraction is not wanted",
        "declare v with type: float, or write int(…), if its fraction is not wanted",
        "declare m with type: float, or write int(…), if its fraction is not wanted",
        "declare high with type: float, or write a comparison, such as x > 0.0",
    }


def test_a_boolean_that_is_declared_as_a_float_is_told_with_all_others(tmp_path: Path) -> None:
    problems = check_folder(stepping.write_type(tmp_path, DEFINITION, steps=STEPS))
    told = [(one.file, one.line, one.path, one.message) for one in problems]
    boolean = (
        "twin.yaml",
        11,
        "pipeline.0.outputs.w.type",
        "one returns true or false for w, which is declared as float",
    )
    assert sorted(told) == sorted([*TOLD, boolean])
    assert problems[told.index(boolean)].remedy == "write type: bool"


@pytest.mark.parametrize(
    ("outputs", "default"),
    [("[now, motor]", ", and that is what an output is by default"), ("{now: {}, motor: {type: float}}", "")],
)
def test_a_boolean_of_a_built_in_is_no_float(tmp_path: Path, outputs: str, default: str) -> None:
    definition = f"""\
name: machine
version: 1.0.0
inputs: {{a: {{}}}}
pipeline:
  - name: machine
    step: state_machine
    config:
      states: [off, running]
      transitions: [{{from: "off", to: running, when: a > 3}}]
      values: {{running: {{motor: true}}}}
    outputs: {outputs}
outputs: {{timeseries: {{fields: [now]}}}}
"""
    definition = definition.replace("[off,", '["off",')
    (problem,) = check_folder(stepping.write_type(tmp_path, definition))
    assert (problem.line, problem.path) == (11, "pipeline.0.outputs.motor.type")
    assert problem.message == f"state_machine gives its motor as bool, which float can't hold{default}"
    assert problem.remedy == "write type: bool"
