"""A step that a replay would not repeat is a fault, compiled or not; what is seeded or is event time is none."""

from pathlib import Path

import pytest
from support import stepping

from twins.check import check_folder

DEFINITION = """\
name: probe
version: 1.0.0
inputs: {a: {}}
pipeline:
  - name: s
    step: steps.py:step
    compiled: false
    state: {t: {}}
    outputs: {y: {}}
    requests: {reset: "steps.py:begin"}
outputs: {timeseries: {fields: [y]}}
"""
HEAD = """\
import datetime, random, time, uuid
import numpy as np
from random import gauss
from time import time as now
from datetime import datetime as moment

def helper(a):
    HELPER
    return a

def step(state, a, random_seed):
    STEP
    return helper(a)

def begin(state):
    BEGIN
    state.t = 0.0
"""


def _checked(folder: Path, **bodies: str) -> list[tuple[int, str, str]]:
    steps = HEAD
    for name in ("HELPER", "STEP", "BEGIN"):
        steps = steps.replace(name, bodies.get(name.lower(), "pass"))
    problems = check_folder(stepping.write_type(folder, DEFINITION, steps=steps))
    return [(problem.line, problem.message.partition(" differs")[0], problem.remedy) for problem in problems]


@pytest.mark.parametrize(
    ("expression", "name", "remedy"),
    [
        ("time.time()", "time.time", "dt_s"),
        ("now()", "now", "dt_s"),
        ("time.perf_counter()", "time.perf_counter", "dt_s"),
        ("datetime.datetime.now()", "datetime.datetime.now", "dt_s"),
        ("moment.utcnow()", "moment.utcnow", "dt_s"),
        ("random.random()", "random.random", "random_seed"),
        ("gauss(0, 1)", "gauss", "random_seed"),
        ("np.random.normal()", "np.random.normal", "random_seed"),
        ("uuid.uuid4()", "uuid.uuid4", "random_seed"),
    ],
)
def test_clocks_and_shared_generators_are_faults_wherever_a_step_reaches_them(
    tmp_path: Path, expression: str, name: str, remedy: str
) -> None:
    for body, line in (("helper", 8), ("step", 12), ("begin", 16)):
        ((found_line, found_name, found_remedy),) = _checked(tmp_path / body, **{body: f"a = {expression}"})
        assert (found_line, found_name) == (line, name)
        assert remedy in found_remedy


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(0)",
        "np.random.default_rng(random_seed).normal()",
        "random.Random(random_seed).random()",
        "datetime.datetime.fromtimestamp(a)",
        "np.array([a]).sum()",
        "random = a; random.real",
    ],
)
def test_what_is_seeded_or_computed_is_none(tmp_path: Path, body: str) -> None:
    assert _checked(tmp_path, step=body) == []
