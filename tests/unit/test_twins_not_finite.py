"""NaN and infinity reach nothing: no state of whatever shape, no line, no event, no command."""

from typing import TYPE_CHECKING

import pytest
from support import stepping
from support.oracle import load_type
from support.stepping import TWINS, Stepping, reading, request

from twins.twin_type import TwinType

if TYPE_CHECKING:
    from pathlib import Path

DEFINITION = """\
name: finite
version: 1.0.0
inputs: {at: {type: int}, value: {type: int}}
pipeline:
  - name: s
    step: steps.py:step
    compiled: COMPILED
    state: {x: {}, v: {shape: [3]}, m: {shape: [2, 3]}, n: {type: int}}
    outputs: {y: {}, up: {type: bool}, k: {type: int}}
    requests: {spoil: "steps.py:spoil"}
requests:
  spoil: {arguments: {at: {type: int}}}
outputs:
  timeseries: {fields: [y, up, k]}
  events: {went_on: {when: up, edge: each, data: [y, k]}}
  commands: {valve: {field: y, when: up}, step: {field: k, type: int, when: up}}
"""
STEPS = """\
import math


def step(state, at, value):
    bad = 1.0
    if value == 1:
        bad = math.nan
    elif value == 2:
        bad = math.inf
    elif value == 3:
        bad = -math.inf
    state.n += 1
    if at == 0:
        state.x = bad
    elif at <= 3:
        state.v[at - 1] = bad
    elif at <= 9:
        state.m[(at - 4) // 3, (at - 4) % 3] = bad
    elif at == 10:
        return bad, True, 1
    return 1.0, True, 2


def spoil(state, at):
    if at == 0:
        state.x = math.nan
    else:
        state.m[1, 2] = math.inf
"""


@pytest.fixture(scope="module", params=[True, False], ids=["compiled", "plain"])
def finite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    definition = DEFINITION.replace("COMPILED", str(request.param).lower())
    folder: Path = stepping.write_type(tmp_path_factory.mktemp("finite"), definition, steps=STEPS)
    return load_type(folder, f"content {request.param}", tmp_path_factory.mktemp("kernels"))


@pytest.mark.parametrize("value", [1, 2, 3])
def test_a_number_that_is_none_quarantines_its_twin_wherever_it_stands(finite: TwinType, value: int) -> None:
    for at in range(11):
        engine = Stepping(finite)
        run = engine.step(reading(TWINS[0], 0, at=0, value=0), reading(TWINS[1], 0, at=at, value=0))
        before = engine.state(TWINS[0]).state
        lines, commands = len(run.lines()), len(run.messages("commands"))
        run = engine.step(reading(TWINS[0], 1, at=at, value=value), reading(TWINS[1], 1, at=at, value=0))
        state = engine.state(TWINS[0])
        assert (state.status, state.state) == ("quarantined", before), at
        assert engine.state(TWINS[1]).status == "ok"
        assert len(run.lines()) == lines + 1
        assert len(run.messages("commands")) == commands + 2
        events = [event["name"] for event in run.messages("events") if event["twin"] == TWINS[0].decode()]
        assert events.count("went_on") == 1
        assert events.count("quarantined") == 1


@pytest.mark.parametrize("at", [0, 1])
def test_a_handler_that_leaves_one_is_refused(finite: TwinType, at: int) -> None:
    engine = Stepping(finite)
    engine.step(reading(TWINS[0], 0, at=0, value=0))
    before = engine.state(TWINS[0]).state
    run = engine.step(request(TWINS[0], "spoil", at=at))
    (event,) = [event for event in run.messages("events") if event["name"].startswith("request_")]
    assert event["name"] == "request_rejected"
    assert event["data"]["reason"] == f"the handler left NaN or infinity in the state {'x' if at == 0 else 'm'}"
    assert engine.state(TWINS[0]).state == before
