"""`check` says what steps that are not compiled cost; that is information, no fault."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import stepping
from support.oracle import load_type

from infra.authoring.checking import examine_apart
from twins.kernel.cost import step_costs

ROOT = Path(__file__).parents[2]
DEFINITION = """\
name: machine
version: 1.0.0
tick_s: 1.0
inputs: {a: {range: [2, 4]}, n: {type: int, above: 10}, b: {type: bool}}
pipeline:
  - {name: smooth, step: exponential_average, inputs: {value: a}, config: {time_constant_s: 3}, outputs: [s]}
  - {name: slow, step: "steps.py:slow", compiled: false, state: {calls: {type: int}}, outputs: [y]}
  - {name: quick, step: "steps.py:quick", compiled: false, outputs: [z]}
  - {name: ticking, step: "steps.py:quick", compiled: false, runs_on: ticks, outputs: [w]}
outputs: {timeseries: {fields: [s, y]}}
"""
STEPS = """\
import time


def slow(state, a, n, b):
    assert (a, n, b) == (3.0, 12, False), (a, n, b)
    time.sleep(0.002)
    return a


def quick(a):
    return a + 1.0
"""
LINE = re.compile(
    r"pipeline\.(\d): step (\w+) is not compiled: about ([\d.,]+) µs a (record|twin on each tick) where the compiled"
    r" rest takes ([\d.,]+) µs; at most about ([\d,]+) (records/s|twins a second) on one core"
)


def test_every_step_in_plain_python_has_its_cost_on_a_record_at_mid_range(tmp_path: Path) -> None:
    twin_type = load_type(stepping.write_type(tmp_path, DEFINITION, steps=STEPS), "machine", tmp_path / "cache")
    costs = step_costs(twin_type)
    assert [(cost.place, cost.name, cost.on_tick) for cost in costs] == [
        (1, "slow", False),
        (2, "quick", False),
        (3, "ticking", True),
    ]
    slow, quick, _ = costs
    assert slow.own_us >= 2000
    assert quick.own_us < 500
    assert 0 < slow.rest_us < 1000
    assert slow.most_per_s == quick.most_per_s < 500
    assert [bool(LINE.fullmatch(str(cost))) for cost in costs] == [True] * 3, list(map(str, costs))


def test_measuring_leaves_the_type_as_it_was(tmp_path: Path) -> None:
    twin_type = load_type(stepping.write_type(tmp_path, DEFINITION, steps=STEPS), "machine", tmp_path / "cache")
    before = twin_type.kernels
    step_costs(twin_type)
    assert twin_type.kernels is before


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_check_prints_notes_apart_from_problems(tmp_path: Path, options: list[str]) -> None:
    folder = stepping.write_type(tmp_path / "machine", DEFINITION, steps=STEPS)
    done = subprocess.run(
        [sys.executable, "-m", "infra", "check", "machine", *options],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if options:
        report = json.loads(done.stdout)
        assert report["problems"] == []
        notes = report["notes"]
    else:
        *lines, last = done.stdout.splitlines()
        assert last.startswith("no problems in ")
        notes = [line.removeprefix("note: ") for line in lines if line.startswith("note: ")]
        assert len(notes) == len(lines)
    assert [bool(LINE.fullmatch(note.removeprefix(f"{folder.name}: "))) for note in notes] == [True] * 3, notes


def test_nothing_is_measured_where_everything_is_compiled(tmp_path: Path) -> None:
    definition = DEFINITION.replace("compiled: false, ", "")
    steps = STEPS.replace("    time.sleep(0.002)\n", "").replace(
        "    assert (a, n, b) == (3.0, 12, False), (a, n, b)\n", ""
    )
    checked = examine_apart(stepping.write_type(tmp_path, definition, steps=steps), costs=True)
    assert (checked.problems, checked.notes) == ([], [])
