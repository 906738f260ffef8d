"""A condition that can't be computed: an interlock does not hold, and a transition of a state machine is named."""

from pathlib import Path

import pytest
from support.oracle import load_type
from support.stepping import TWINS, Run, Stepping, reading, write_type

DEFINITION = """\
name: pump
version: 1.0.0
inputs: {a: {}, b: {}, open: {type: bool}}
pipeline:
  - name: mode
    step: state_machine
    config:
      states: [low, high]
      transitions:
        - {from: low, to: high, when: open}
        - {from: high, to: low, when: "not open or a / b > 10"}
    outputs: {now: {type: int}}
outputs:
  timeseries: {fields: [now]}
  commands:
    ratio: {field: a, interlocks: {first: "a < 100", ratio: "a / b < 2", not_so: "not a / b > 2"}}
    guarded: {field: a, interlocks: {ratio: "b == 0 or a / b < 2"}}
"""
TWO_STEPS = """\
name: pump
version: 1.0.0
inputs: {a: {}, b: {}}
pipeline:
  - {name: one, step: "steps.py:first", outputs: [x]}
  - {name: two, step: "steps.py:second", outputs: [y]}
"""
RATIO = "interlock ratio: a / b < 2"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Stepping:
    folder: Path = tmp_path_factory.mktemp("pump")
    return Stepping(load_type(write_type(folder / "type", DEFINITION), "content", folder / "cache"))


def _said(run: Run, name: str) -> list[tuple[float, str]]:
    return [(one["value"], one.get("reason", one["status"])) for one in run.messages("commands") if one["name"] == name]


def test_an_interlock_that_divides_by_zero_does_not_hold_and_says_so(made: Stepping) -> None:
    twin = TWINS[0]
    for at, (a, b) in enumerate([(1.0, 1.0), (4.0, 0.0), (5.0, 0.0), (6.0, 2.0), (6.0, 6.0), (400.0, 0.0)]):
        made.step(reading(twin, at, a=a, b=b, open=False))
    assert made.state(twin).status == "ok"
    assert _said(made.run, "ratio") == [
        (1.0, "issued"),
        (4.0, f"{RATIO} can't be computed: division by zero"),
        (6.0, "issued"),
        (400.0, "interlock first: a < 100"),
    ]
    assert _said(made.run, "guarded") == [
        (1.0, "issued"),
        (4.0, "issued"),
        (5.0, "issued"),
        (6.0, "interlock ratio: b == 0 or a / b < 2"),
        (6.0, "issued"),
        (400.0, "issued"),
    ]


def test_a_transition_that_divides_by_zero_is_named_and_divides_only_where_it_may(made: Stepping) -> None:
    twin = TWINS[1]
    made.step(reading(twin, 0, a=1.0, b=0.0, open=True), reading(twin, 1, a=1.0, b=0.0, open=False))
    assert (made.state(twin).status, made.state(twin).outputs["now"]) == ("ok", "low")
    made.step(reading(twin, 2, a=1.0, b=1.0, open=True), reading(twin, 3, a=30.0, b=1.0, open=True))
    assert made.state(twin).outputs["now"] == "low"
    made.step(reading(twin, 4, a=1.0, b=1.0, open=True), reading(twin, 5, a=1.0, b=0.0, open=True))
    assert made.state(twin).status == "quarantined"
    (event,) = [one for one in made.run.messages("events") if one["name"] == "quarantined"]
    assert "the transition from high to low divides by zero: not open or a / b > 10" in str(event)


def test_the_step_that_raised_is_named_also_when_the_record_before_it_came_further(tmp_path: Path) -> None:
    steps = "def first(a):\n    return 1.0 / a\n\ndef second(a, b, x):\n    return x / b\n"
    made = Stepping(load_type(write_type(tmp_path / "type", TWO_STEPS, steps=steps), "content", tmp_path / "cache"))
    made.step(
        reading(TWINS[0], 0, a=1.0, b=1.0),
        reading(TWINS[1], 0, a=0.0, b=1.0),
        reading(TWINS[2], 0, a=1.0, b=0.0),
    )
    assert [one["data"]["reason"] for one in made.run.messages("events") if one["name"] == "quarantined"] == [
        "step one raised ZeroDivisionError: division by zero",
        "step two raised ZeroDivisionError: division by zero",
    ]
