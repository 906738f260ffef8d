"""Every fault at once, each of them once: none hides another, and none follows from another."""

from pathlib import Path

import pytest
from support import stepping

from schemas.definition_file import examine
from twins.check import check_folder

DEFINITION = """\
name: pump
version: 1.0.0
inputs:
  flow: {unit: m, range: [0, 10]}
parameters:
  wanted: {type: float, unit: m, default: 3}
pipeline:
  - name: hold
    step: pid
    inputs: {value: flow, setpoint: wanted}
    config: {kp: 1.0, lower: 0, upper: 5}
    outputs: [power]
outputs:
  timeseries: {fields: [power]}
  events: {}
  commands:
    power: {field: power, range: [0, 5], confirm: {field: flow, within_s: 3}}
"""


def _told(folder: Path, *changes: tuple[str, str]) -> list[tuple[int, str]]:
    definition = DEFINITION
    for before, after in changes:
        assert before in definition
        definition = definition.replace(before, after, 1)
    return sorted((one.line, one.path) for one in check_folder(stepping.write_type(folder, definition)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            [
                ("field: power, range: [0, 5]", "field: powder, type: bool, max_rate: 1, range: [5, 0]"),
                (", within_s: 3}}", '}, interlocks: {a: "flaw > 3", b: "flow >"}}'),
            ],
            [
                (17, f"outputs.commands.power.{key}")
                for key in (
                    "confirm.field",
                    "confirm.within_s",
                    "field",
                    "interlocks.a",
                    "interlocks.b",
                    "max_rate",
                    "range",
                )
            ],
        ),
        (
            [("lower: 0, upper: 5", "kd: -1, lower: 6, upper: 5, gain: 3")],
            [(11, "pipeline.0.config.gain"), (11, "pipeline.0.config.kd"), (11, "pipeline.0.config.lower")],
        ),
        # What is at fault itself says nothing of others.
        ([("lower: 0, upper: 5", "lower: low, upper: -5")], [(11, "pipeline.0.config.lower")]),
        (
            [("unit: m, default: 3", "unit: zork, default: three")],
            [(6, "parameters.wanted.default"), (6, "parameters.wanted.unit")],
        ),
        ([("default: 3", "default: three")], [(6, "parameters.wanted.default")]),
        (
            [("fields: [power]", "fields: [power, 3], when: change, interval_s: 3, tags: [x y]")],
            [
                (14, "outputs.timeseries.fields.1"),
                (14, "outputs.timeseries.interval_s"),
                (14, "outputs.timeseries.tags.0"),
            ],
        ),
        (
            [("events: {}", "events: {high: {when: hi, severity: bad, data: [no]}}")],
            [
                (15, "outputs.events.high.data.0"),
                (15, "outputs.events.high.severity"),
                (15, "outputs.events.high.when"),
            ],
        ),
    ],
    ids=["command", "settings", "no follow-up", "unit and default", "default", "time series", "event"],
)
def test_no_fault_of_an_object_hides_another_of_it(
    tmp_path: Path, changes: list[tuple[str, str]], told: list[tuple[int, str]]
) -> None:
    assert _told(tmp_path, *changes) == told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([("parameters:", "inputs: {head: {}}\nparameters:")], [(5, "inputs")]),
        ([("outputs:\n  timeseries", "inputs:\n  level: {}\noutputs:\n  timeseries")], [(13, "inputs")]),
        (
            [("outputs:\n", "outputs: {events: {on: {when: power}}}\nx: 3\noutputs:\n")],
            [(13, "outputs.events.on"), (13, "outputs.events.on.when"), (14, "x"), (15, "outputs")],
        ),
        (
            [("    config: {kp: 1.0, lower: 0, upper: 5}", "    config: {kp: 1.0, kp: 2.0, lower: 0, upper: 5}")],
            [(11, "pipeline.0.config.kp")],
        ),
        ([("  flow: {unit", "  on: {}\n  1: {}\n  flow: {unit")], [(4, "inputs.on"), (5, "inputs.1")]),
    ],
    ids=["inputs in flow style", "inputs", "outputs and a boolean", "settings", "boolean and number"],
)
def test_a_key_that_is_given_twice_or_is_no_text_is_one_fault_with_its_path(
    tmp_path: Path, changes: list[tuple[str, str]], told: list[tuple[int, str]]
) -> None:
    assert _told(tmp_path, *changes) == told


@pytest.mark.parametrize(
    ("version", "remedy"),
    [("1.0", "1.0.0"), ("2", "2.0.0"), ("v1.2", "1.2.0"), ('"1.4"', "1.4.0"), ("one", "1.0.0"), ("1.2.3.4", "1.2.3")],
)
def test_a_version_that_is_none_says_which_to_write(version: str, remedy: str) -> None:
    (problem,) = examine(DEFINITION.replace("1.0.0", version, 1)).problems
    assert (problem.line, problem.path, problem.remedy) == (2, "version", f"write three numbers: {remedy}")
    assert not examine(DEFINITION.replace("1.0.0", remedy, 1)).problems


@pytest.mark.parametrize(
    ("before", "after", "remedy"),
    [
        ("name: pump", "name: Pump 1", "write it as pump_1"),
        ("  flow:", "  mass-flow:", "write it as mass_flow"),
        ("  flow:", "  Füllstand (m):", "write it as Fullstand_m"),
        ("  flow:", "  2nd flow:", "write it as nd_flow"),
        ("outputs:\n  time", "migration: {state: {a: b.c}}\noutputs:\n  time", "mend the value"),
    ],
)
def test_names_are_told_in_words_and_never_as_an_expression(before: str, after: str, remedy: str) -> None:
    problems = examine(DEFINITION.replace(before, after, 1)).problems
    (problem,) = [one for one in problems if "must be" in one.message]
    assert problem.remedy == remedy
    assert not any(sign in str(one) for one in problems for sign in ("a-z", "[A-Z", "\\d", "]*"))
