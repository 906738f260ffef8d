"""Steps called by name in a test or a notebook, as the guide shows it."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from reference.plain_twin import EXAMPLES
from support.stepping import write_type

from schemas.errors import DefinitionError
from twins.functions.testing import START_NS, built_in, load_step, load_trial

DEFINITION = """\
name: timed
version: 1.0.0
inputs:
  value: {}
pipeline:
  - name: times
    step: steps.py:times
    state: {seen: {type: int}}
    outputs: {ns: {type: int}, dt: {}, n: {type: int}}
  - {name: plain, step: "steps.py:plain", inputs: {wanted: value}, outputs: [twice]}
outputs:
  timeseries: {fields: [value]}
"""
STEPS = """\
def times(state, time_ns, dt_s, records):
    state.seen += 1
    return time_ns, dt_s, records

def plain(wanted):
    return 2.0 * wanted
"""


def test_a_built_in_is_called_by_name_and_tells_its_outputs_by_name() -> None:
    machine = built_in(
        "state_machine",
        {"states": ["a", "b"], "transitions": [{"from": "a", "to": "b", "when": "x > 1"}], "report": ["changed"]},
    )
    assert [machine(at_s, x=at_s) for at_s in (0, 1, 2)] == [
        {"state": 0, "changed": False},
        {"state": 0, "changed": False},
        {"state": 1, "changed": True},
    ]
    assert machine.state is not None
    assert machine.state.state == 1
    assert built_in("linear_calibration", {"gain": 2.0})(value=3.0) == {"calibrated": 6.0}
    assert built_in("running_statistics")(value=3.0) == {"count": 1, "mean": 3.0, "variance": 0.0}


def test_time_is_what_the_trial_says_unless_it_is_given(tmp_path: Path) -> None:
    times = load_trial(write_type(tmp_path / "timed", DEFINITION, steps=STEPS), "times")
    assert times(0.5) == {"ns": START_NS + 500_000_000, "dt": 0.0, "n": 1}
    assert times(3) == {"ns": START_NS + 3_000_000_000, "dt": 2.5, "n": 2}
    assert times(2) == {"ns": START_NS + 2_000_000_000, "dt": 0.0, "n": 3}
    assert times(4, dt_s=9.0) == {"ns": START_NS + 4_000_000_000, "dt": 9.0, "n": 4}
    assert times.state is not None
    assert times.state.seen == 4


def test_any_step_of_a_folder_is_called_with_the_arguments_of_its_function(tmp_path: Path) -> None:
    folder = write_type(tmp_path / "timed", DEFINITION, steps=STEPS)
    assert load_trial(folder, "plain")(wanted=2.0) == {"twice": 4.0}
    control = load_trial(EXAMPLES / "incubator", "control")
    box = {"setpoint": 35.0, "lower_bound": 5.0, "heating_time": 20.0, "heating_gap": 30.0}
    found = [control(at_s, average_temperature=30.0, **box)["control_state"] for at_s in (0, 19, 20, 49, 50)]
    assert found == [1, 1, 2, 2, 1]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    folder = write_type(tmp_path / "timed", DEFINITION, steps=STEPS)
    with pytest.raises(TypeError, match="argument 'value'"):
        load_trial(folder, "plain")(value=2.0)
    for load in (load_trial, load_step):
        with pytest.raises(KeyError, match=r"no step none in .*twin\.yaml: there are .*plain"):
            load(folder, "none")
    with pytest.raises(KeyError, match="control is the built-in state_machine, no function of the folder"):
        load_step(EXAMPLES / "incubator", "control")
    with pytest.raises(KeyError, match="none"):
        built_in("none")
    with pytest.raises(ValidationError, match="band"):
        built_in("dead_band")
    (folder / "steps.py").write_text("def")
    with pytest.raises(DefinitionError):
        load_trial(folder, "plain")
