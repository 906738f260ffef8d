"""Faults of a command's limits are located."""

import pytest

from schemas.definition_file import examine

TEXT = """\
name: drive
version: 1.0.0
inputs:
  speed: {{type: float}}
  level: {{type: int}}
  go: {{type: bool}}
parameters:
  top: {{type: float, default: 1.0}}
outputs:
  events:
    command_failed: {{when: go}}
  commands:
    motor: {{{command}}}
"""


def _faults(command: str) -> list[tuple[str, str]]:
    found = examine(TEXT.format(command=command)).problems
    assert all(problem.line == 13 for problem in found if "motor" in problem.path)
    return [(problem.path, problem.message) for problem in found]


RESERVED = ("outputs.events.command_failed", "command_failed is an event of twinstream itself")
MOTOR = "outputs.commands.motor"


def test_what_twinstream_tells_itself_is_no_event_of_a_type() -> None:
    assert _faults("field: speed, max_rate: 1, min_interval_s: 0, interlocks: {a: speed < top and go}") == [RESERVED]


@pytest.mark.parametrize(
    ("command", "path", "message"),
    [
        ("field: sped", "field", "no field sped"),
        ("field: speed, when: gone", "when", "no field gone"),
        ("field: speed, when: top", "when", "no field top"),
        ("field: speed, when: level", "when", "level is int"),
        ("field: speed, confirm: {field: shown, within_s: 1}", "confirm.field", "no field shown"),
        (
            "field: speed, type: bool",
            "type",
            "the command is bool, but speed is float: whatever is not 0 would leave as true",
        ),
        ("field: speed, type: int", "type", "the command is int, but speed is float: a fraction would be cut off"),
        (
            "field: level, type: bool",
            "type",
            "the command is bool, but level is int: whatever is not 0 would leave as true",
        ),
        (
            "field: go, type: bool, confirm: {field: speed, within_s: 1}",
            "confirm.field",
            "speed is float, and can't show what a command of type bool did",
        ),
        (
            "field: speed, confirm: {field: go, within_s: 1}",
            "confirm.field",
            "go is bool, and can't show what a command of type float did",
        ),
        ("field: speed, interlocks: {a: x > 1}", "interlocks.a", "no field or parameter x"),
        ("field: speed, interlocks: {a: level or go}", "interlocks.a", "level is int, not true or false"),
        ("field: speed, interlocks: {a: top}", "interlocks.a", "top is float, not true or false"),
    ],
)
def test_names_that_are_nothing_or_of_another_type(command: str, path: str, message: str) -> None:
    assert (f"{MOTOR}.{path}", message) in _faults(command)


@pytest.mark.parametrize(
    "command",
    [
        "field: go, type: bool, confirm: {field: go, within_s: 1}",
        "field: go, type: bool, confirm: {field: level, within_s: 1}",
        "field: level, type: int, confirm: {field: speed, within_s: 1}",
        "field: level, type: float, confirm: {field: level, within_s: 1}",
    ],
)
def test_types_of_a_command_its_field_and_its_confirmation_that_fit(command: str) -> None:
    assert _faults(command) == [RESERVED]


@pytest.mark.parametrize(
    ("command", "path", "message"),
    [
        ("field: speed, max_rate: 0", "max_rate", "greater than 0"),
        ("field: speed, max_rate: .nan", "max_rate", "finite"),
        ("field: speed, min_interval_s: -1", "min_interval_s", "must be at least 0"),
        ("field: speed, min_interval_s: 1.0e+12", "min_interval_s", "must be at most"),
        ("field: speed, min_interval_s: soon", "min_interval_s", "expected a number"),
        ("field: speed, interlocks: {a: 'speed +'}", "interlocks.a", "is no condition"),
        ("field: speed, interlocks: {a: speed}", "interlocks.a", "speed is float"),
        ("field: speed, interlocks: {a b: go}", "interlocks", "must be"),
        ("field: speed, interlocks: [go]", "interlocks", "expected keys and values"),
        ("field: speed, confirm: {field: speed}", "confirm.within_s", "is missing"),
        ("field: speed, confirm: {field: speed, within_s: 0}", "confirm.within_s", "greater than 0"),
        (
            "field: speed, confirm: {field: speed, within_s: 1, tolerance: -1}",
            "confirm.tolerance",
            "must be at least 0",
        ),
        ("field: speed, confirm: {field: speed, within_s: 1, by: x}", "confirm.by", "unknown key"),
        ("field: go, type: bool, max_rate: 1", "", "true and false have no rate"),
        ("field: speed, when: go, refresh_s: 1", "", "with `when` the field says when"),
    ],
)
def test_values_that_can_not_be(command: str, path: str, message: str) -> None:
    found = _faults(command)
    assert any(place.startswith(f"{MOTOR}.{path}".rstrip(".")) and message in text for place, text in found), found
