"""Units in a definition: what the wiring checks, and what it converts where the author asks for it."""

import json
from pathlib import Path

import pytest
from reference.plain_twin import PlainTwin
from support.oracle import load_type
from support.stepping import SECOND, START_NS, TWINS, Stepping, record, write_type

from schemas.errors import Problem
from twins.check import check_folder

STEPS = """\
def radiate(temperature_K: float, area: float, dt_min: float) -> float:
    return 5.67e-8 * area * temperature_K * temperature_K * temperature_K * temperature_K + dt_min


def double(temperature):
    return temperature + temperature
"""
DEFINITION = """\
name: plate
version: 1.0.0
inputs:
  temperature: {unit: degC}
  count: {type: int, unit: "1"}
  humidity: {}
parameters:
  area: {unit: m**2, default: 2}
  limit: {unit: degC, default: 40}
pipeline:
  - name: radiation
    step: steps.py:radiate
    expects: {temperature_K: K, area: m**2, dt_min: min}
    inputs:
      temperature_K: {field: temperature, to: K}
      dt_min: {field: dt_s, to: min}
    outputs: {power: {unit: W}}
  - name: trend
    step: rate_of_change
    inputs: {value: temperature}
    outputs: {rate: {unit: K/s}}
  - name: heat
    step: integrator
    inputs: {value: power}
    outputs: {energy: {unit: J}}
  - name: fan
    step: on_off_controller
    inputs: {value: temperature, setpoint: limit}
    config: {action: lowers}
    outputs: {fan_on: {type: bool}}
requests:
  limit:
    arguments: {limit: {unit: degC}}
    sets: {limit: limit}
outputs:
  timeseries: {fields: [power, rate, energy]}
  commands:
    power: {field: power, unit: J/s}
"""


def faults(folder: Path, *changes: tuple[str, str]) -> list[Problem]:
    text = DEFINITION
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    return check_folder(write_type(folder / "plate", text, steps=STEPS))


def test_units_that_fit_and_conversions_that_are_asked_for_are_no_faults(tmp_path: Path) -> None:
    assert faults(tmp_path) == []


@pytest.mark.parametrize(
    ("before", "after", "line", "path", "message", "remedy"),
    [
        ("{unit: degC}\n  count", "{unit: m**zz}\n  count", 4, "inputs.temperature.unit", "no unit m**zz", "known: oz"),
        ("unit: m**2, d", "unit: metre3, d", 8, "parameters.area.unit", "no unit metre3", "known: metre**3"),
        ("{power: {unit: W}}", "{power: {unit: Wat}}", 17, "pipeline.0.outputs.power.unit", "no unit Wat", "known: "),
        ("field: power, unit: J/s", "field: power, unit: j/s", 38, "outputs.commands.power.unit", "no unit j/s", "J"),
        (
            "{limit: {unit: degC}}",
            "{limit: {unit: C°}}",
            33,
            "requests.limit.arguments.limit.unit",
            "no unit C°",
            "pint",
        ),
        ("temperature, to: K", "temperature, to: Q", 15, "pipeline.0.inputs.temperature_K.to", "no unit Q", "known: "),
        ("dt_min: min}\n", "dt_min: mn}\n", 13, "pipeline.0.expects.dt_min", "no unit mn", "known: "),
        (
            "      temperature_K: {field: temperature, to: K}",
            "      temperature_K: temperature",
            15,
            "pipeline.0.inputs.temperature_K",
            "steps.py:radiate takes temperature_K in K, but temperature is in degC",
            "convert it: inputs: {temperature_K: {field: temperature, to: K}}",
        ),
        (
            "area: m**2",
            "area: cm**2",
            13,
            "pipeline.0.expects.area",
            "takes area in cm**2, but area is in m**2",
            "convert it: inputs: {area: {field: area, to: cm**2}}",
        ),
        ("area: m**2", "area: K", 13, "pipeline.0.expects.area", "takes area in K, but area is in m**2", "field in K"),
        ("to: K", "to: m", 15, "pipeline.0.inputs.temperature_K", "temperature in degC can't become m", "same kind"),
        (
            "field: temperature",
            "field: count",
            15,
            "pipeline.0.inputs.temperature_K",
            "count is int",
            "wire it as it is",
        ),
        (
            "field: temperature",
            "field: humidity",
            15,
            "pipeline.0.inputs.temperature_K",
            "humidity states no unit",
            "unit",
        ),
        ("field: temperature", "field: temp", 15, "pipeline.0.inputs.temperature_K", "no field temp", "known here"),
        (
            "field: temperature, to",
            "field: temperature, too",
            15,
            "pipeline.0.inputs.temperature_K.too",
            "unknown key",
            "rem",
        ),
        (
            "expects: {t",
            "expects: {other: m, t",
            13,
            "pipeline.0.expects.other",
            "radiate has no argument other",
            "area",
        ),
        (
            "{rate: {unit: K/s}}",
            "{rate: {unit: degC}}",
            21,
            "pipeline.1.outputs.rate.unit",
            "delta_degC/s, not degC",
            "",
        ),
        ("{unit: J}", "{unit: W}", 25, "pipeline.2.outputs.energy.unit", "gives its integral in W*s, not W", "W*s"),
        (
            "limit: {unit: degC, def",
            "limit: {unit: K, def",
            28,
            "pipeline.3.inputs.setpoint",
            "on_off_controller takes setpoint in degC, but limit is in K",
            "convert it: inputs: {setpoint: {field: limit, to: degC}}",
        ),
        (
            "{limit: {unit: degC}}",
            "{limit: {unit: degF}}",
            34,
            "requests.limit.sets.limit",
            "limit is in degF, but the parameter limit in degC",
            "write unit: degC for the argument",
        ),
        ("unit: J/s", "unit: kW", 38, "outputs.commands.power.unit", "the command is in kW, but power in W", "unit: W"),
        (
            "unit: J/s",
            "unit: J/s, confirm: {field: rate, within_s: 9}",
            38,
            "outputs.commands.power.confirm.field",
            "the command is in J/s, but rate in K/s",
            "name a field in the command's unit",
        ),
        (
            "{type: bool}}\nreq",
            "{type: bool, unit: m}}\nreq",
            30,
            "pipeline.3.outputs.fan_on.unit",
            "no unit",
            "remove",
        ),
    ],
)
def test_a_fault_of_units_is_located_and_has_a_remedy(
    tmp_path: Path, before: str, after: str, line: int, path: str, message: str, remedy: str
) -> None:
    found = [problem for problem in faults(tmp_path, (before, after)) if (problem.line, problem.path) == (line, path)]
    assert len(found) == 1
    assert message in found[0].message
    assert remedy in found[0].remedy


def test_every_fault_of_units_is_told_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, ("unit: J/s", "unit: kW"), ("{unit: J}", "{unit: W}"), ("to: K", "to: kelvins_"))
    assert [problem.line for problem in found] == [15, 25, 38]


def test_a_conversion_is_part_of_the_compiled_pass_and_of_the_plain_one(tmp_path: Path) -> None:
    folder = write_type(tmp_path / "plate", DEFINITION, steps=STEPS)
    twin, plain = Stepping(load_type(folder, "plate", tmp_path / "cache")), PlainTwin(folder)
    for number, temperature in enumerate((20.0, 21.5, 400.0)):
        time_ns = START_NS + number * 90 * SECOND
        values = {"time": time_ns, "temperature": temperature, "count": 1, "humidity": 0.5}
        twin.step(record(TWINS[0], json.dumps(values).encode(), offset=number))
        expected = plain.step(values)
        radiated = 5.67e-8 * 2 * (temperature + 273.15) ** 4 + (1.5 if number else 0.0)
        assert expected["power"] == pytest.approx(radiated, rel=1e-12)
        line = twin.run.lines()[-1]
        assert f"power={expected['power']!r}," in line


def test_a_wired_step_without_faults_of_its_own_is_checked_when_another_is_faulty(tmp_path: Path) -> None:
    text = DEFINITION.replace("steps.py:radiate", "steps.py:nothing").replace("{unit: J}", "{unit: K}")
    found = check_folder(write_type(tmp_path / "plate", text, steps=STEPS))
    assert sorted(problem.path for problem in found) == ["pipeline.0.step", "pipeline.2.outputs.energy.unit"]
