"""Faults of units: names that pint does not know, and fields whose unit is not the one that is asked for."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import pydantic

from schemas.definition import AMBIENT, Definition
from schemas.definition_file import FILE
from schemas.errors import Problem
from schemas.step import Converted, Previous, Step
from schemas.units import UnknownUnitError, alike, check_unit, conversion, difference
from twins.functions.registry import BUILT_INS

_PLACEHOLDER = re.compile(r"\{(delta )?(\w+)\}")
_OF_NUMBERS = {"float", "int"}


def unit_faults(definition: Definition, sound: Collection[str]) -> list[Problem]:
    """Every fault of a definition's units.

    Args:
        definition: The definition; a stand-in for a faulty part states no unit.
        sound: Names of the steps that have no other fault.
    """
    problems = [Problem(FILE, 0, path, *fault) for path, unit in _units(definition, "") if (fault := _unknown(unit))]
    problems += _units_of_others(definition)
    for index, step in enumerate(definition.pipeline):
        if step.name in sound:
            problems += _step_faults(definition, step, f"pipeline.{index}")
    for name, command in definition.outputs.commands.items():
        unit = definition.unit_of(command.field)
        if not _same(command.unit, unit):
            message = f"the command is in {command.unit}, but {command.field} in {unit}"
            problems.append(Problem(FILE, 0, f"outputs.commands.{name}.unit", message, f"write unit: {unit}"))
        shown = definition.unit_of(command.confirm.field) if command.confirm else ""
        if command.confirm and not _same(command.unit or unit, shown):
            message = f"the command is in {command.unit or unit}, but {command.confirm.field} in {shown}"
            remedy = "name a field in the command's unit"
            problems.append(Problem(FILE, 0, f"outputs.commands.{name}.confirm.field", message, remedy))
    return problems + _request_faults(definition)


def _units(part: Any, path: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any part of a definition
    """Key path and text of every unit that a definition names."""
    if isinstance(part, pydantic.BaseModel):
        for name in type(part).model_fields:
            value, below = getattr(part, name), f"{path}.{name}".lstrip(".")
            if name == "unit" or (name == "to" and isinstance(part, Converted)):
                yield below, value
            elif name == "expects" and isinstance(part, Step):
                yield from ((f"{below}.{argument}", unit) for argument, unit in value.items())
            else:
                yield from _units(value, below)
    elif isinstance(part, Mapping):
        for name, value in part.items():
            yield from _units(value, f"{path}.{name}")
    elif isinstance(part, tuple):
        for index, value in enumerate(part):
            yield from _units(value, f"{path}.{index}")


def _unknown(unit: str) -> tuple[str, str] | None:
    try:
        check_unit(unit)
    except UnknownUnitError as error:
        return str(error), error.remedy
    return None


def _units_of_others(definition: Definition) -> list[Problem]:
    """Units of what is no number."""
    declared: dict[str, Any] = {f"inputs.{name}": one for name, one in definition.inputs.items()}
    declared |= {f"parameters.{name}": one for name, one in definition.parameters.items()}
    for index, step in enumerate(definition.pipeline):
        declared |= {f"pipeline.{index}.outputs.{name}": one for name, one in step.outputs.items()}
    return [
        Problem(FILE, 0, f"{path}.unit", f"a {one.type} has no unit", "remove it")
        for path, one in declared.items()
        if one.unit and one.type not in _OF_NUMBERS
    ]


def _step_faults(definition: Definition, step: Step, path: str) -> list[Problem]:
    if ":" in step.step:
        return [
            fault
            for argument, unit in step.expects.items()
            for fault in _argument_fault(definition, step, argument, unit, path)
        ]
    bound = BUILT_INS[step.step].bind(step.config)
    given = {argument: _given(definition, step, argument) for argument in bound.arguments}
    ambient = {name: AMBIENT[name] for name in bound.arguments if name in AMBIENT}
    rules = {name: _resolved(rule, given) for name, rule in (ambient | bound.units).items()}
    problems = [
        fault
        for argument in bound.arguments
        for fault in _argument_fault(definition, step, argument, rules.get(argument, ""), path)
    ]
    for own, (name, output) in zip(bound.outputs, step.outputs.items(), strict=True):
        unit = rules.get(own, "")
        if not _same(unit, output.unit):
            message = f"{step.step} gives its {own} in {unit}, not {output.unit}"
            problems.append(Problem(FILE, 0, f"{path}.outputs.{name}.unit", message, f"write unit: {unit}"))
    return problems


def _given(definition: Definition, step: Step, argument: str) -> str:
    """Unit that an argument comes in."""
    wire = step.inputs.get(argument)
    return wire.to if isinstance(wire, Converted) else definition.unit_of(step.field_of(argument))


def _argument_fault(definition: Definition, step: Step, argument: str, unit: str, path: str) -> list[Problem]:
    given, field = _given(definition, step, argument), step.field_of(argument)
    if _same(given, unit):
        return []
    message = f"{step.step} takes {argument} in {unit}, but {field} is in {given}"
    remedy = f"wire a field in {unit}"
    if _known(conversion, definition.unit_of(field), unit) and not isinstance(step.inputs.get(argument), Previous):
        remedy = f"convert it: inputs: {{{argument}: {{field: {field}, to: {unit}}}}}"
    place = f"{path}.inputs.{argument}" if argument in step.inputs else f"{path}.expects.{argument}"
    return [Problem(FILE, 0, place, message, remedy)]


def _resolved(rule: str, given: Mapping[str, str]) -> str:
    """A rule with units in place of arguments; `""` where one of them is not stated or not known."""
    units = {}
    for delta, argument in _PLACEHOLDER.findall(rule):
        unit = given.get(argument, "")
        if not unit or _unknown(unit):
            return ""
        units[f"{{{delta}{argument}}}"] = difference(unit) if delta else unit
    if rule in units:
        return units[rule]
    return _PLACEHOLDER.sub(lambda found: _factor(units[found[0]]), rule)


def _factor(unit: str) -> str:
    return unit if unit.isidentifier() else f"({unit})"


def _request_faults(definition: Definition) -> list[Problem]:
    problems = []
    for name, request in definition.requests.items():
        for parameter, argument in request.sets.items():
            if parameter in definition.parameters and argument in request.arguments:
                theirs, ours = request.arguments[argument].unit, definition.parameters[parameter].unit
                if not _same(theirs, ours):
                    message = f"{argument} is in {theirs}, but the parameter {parameter} in {ours}"
                    remedy = f"write unit: {ours} for the argument"
                    problems.append(Problem(FILE, 0, f"requests.{name}.sets.{parameter}", message, remedy))
    return problems


def _same(one: str, other: str) -> bool:
    """Whether two units are the same, or it can't be said."""
    try:
        return alike(one, other)
    except UnknownUnitError:
        return True


def _known(question: Callable[[str, str], Any], *units: str) -> bool:
    try:
        return bool(question(*units))
    except UnknownUnitError:
        return False
