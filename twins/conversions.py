"""Fields that a step gets in another unit than they are declared in."""

from schemas.definition import AMBIENT, Definition
from schemas.definition_file import FILE
from schemas.errors import Problem
from schemas.step import Converted, Step
from schemas.units import Linear, UnknownUnitError, conversion

_INTEGERS = {"time_ns", "records"}


def conversions_of(
    definition: Definition, step: Step, index: int
) -> tuple[dict[str, tuple[str, Linear]], list[Problem]]:
    """The conversions that a step asks for, by argument, with the field; and their faults.

    Args:
        definition: Declares the fields.
        step: A step of it.
        index: Its place in the pipeline.
    """
    found: dict[str, tuple[str, Linear]] = {}
    problems = []
    for argument, wire in step.inputs.items():
        if isinstance(wire, Converted):
            linear = _conversion(definition, wire)
            if isinstance(linear, Linear):
                found[argument] = wire.field, linear
            elif linear:
                problems.append(Problem(FILE, 0, f"pipeline.{index}.inputs.{argument}", *linear))
    return found, problems


def _conversion(definition: Definition, wire: Converted) -> Linear | tuple[str, str] | None:
    """The conversion, or message and remedy; None when another fault says it already."""
    name, unit = wire.field, definition.unit_of(wire.field)
    declared = definition.inputs.get(name) or definition.fields().get(name) or definition.parameters.get(name)
    if declared is None and name not in AMBIENT:
        return None
    kind = declared.type if declared else "int" if name in _INTEGERS else "float"
    if kind != "float":
        return f"{name} is {kind}, and only a float can be converted", f"wire it as it is: {name}"
    if not unit:
        return f"{name} states no unit to convert from", f"declare the unit of {name}"
    try:
        linear = conversion(unit, wire.to)
    except UnknownUnitError:
        return None
    return linear or (f"{name} in {unit} can't become {wire.to}", "name a unit of the same kind")
