"""How the generated kernel names and types fields: `x_` a field's value, `row.i_` and `row.o_` its place in the row."""

import zlib
from typing import TYPE_CHECKING

import numpy as np

from schemas.definition import Definition
from schemas.expression import parse_condition

if TYPE_CHECKING:
    from schemas.quantity import Input
    from schemas.step import StepOutput

AMBIENT_TYPES = {"dt_s": "float", "time_s": "float", "time_ns": "int", "records": "int", "random_seed": "int"}
"""Declared types of `schemas.definition.AMBIENT`."""

DTYPES = {"float": np.float64, "int": np.int64, "bool": np.bool_, "string": np.int64}
"""How NumPy holds values of each declared type outside of rows; of a text it is the index among its choices."""


def value_fields(definition: Definition) -> tuple[str, ...]:
    """Columns of `values`: first what becomes time series, then what else leaves."""
    outputs = definition.outputs
    wanted = list(outputs.timeseries.fields)
    wanted += [field for event in outputs.events.values() for field in event.data]
    wanted += [command.field for command in outputs.commands.values()]
    wanted += list(outputs.metadata)
    for route in outputs.routes().values():
        wanted += [*route.inputs.values(), *([] if route.id in definition.parameters else [route.id])]
    return tuple(dict.fromkeys(wanted))


def field_types(definition: Definition) -> dict[str, str]:
    """Every field that has an `x_` name, with its declared type: inputs, then outputs in order."""
    declared: dict[str, Input | StepOutput] = {**definition.inputs, **definition.fields()}
    return {name: item.type for name, item in declared.items()}


def argument_type(name: str, definition: Definition) -> str:
    """Declared type of whatever a step may take by name."""
    if name in AMBIENT_TYPES:
        return AMBIENT_TYPES[name]
    parameter = definition.parameters.get(name)
    return parameter.type if parameter else field_types(definition)[name]


def salt_of(definition: Definition, step: str) -> int:
    """What tells the random numbers of one step from those of all others, 32 bits."""
    return zlib.crc32(f"{definition.type_name}/{step}".encode())


def typed(value: str, kind: str, *, checked: bool = False) -> str:
    """An expression as the declared type; `checked` where it may be of any."""
    if kind == "bool":
        return f"bool({value})" if checked else f"{value} != 0.0"
    if kind in {"int", "string"}:
        return f"int({value})"
    return f"float({value})" if checked else value


def number(name: str, definition: Definition) -> str:
    """A field's value as a float; numba's `float` takes no booleans."""
    return f"(1.0 if x_{name} else 0.0)" if field_types(definition)[name] == "bool" else f"float(x_{name})"


def condition(text: str, definition: Definition) -> str:
    """A condition over fields and parameters as an expression."""

    def source(name: str) -> str:
        if name in definition.parameters:
            return typed(f"row.p_{name}", definition.parameters[name].type)
        return f"x_{name}"

    return parse_condition(text).source(source)


def place(name: str, definition: Definition) -> str:
    """Where a row holds a field's latest value."""
    return f"i_{name}" if name in definition.inputs else f"o_{name}"


def indented(lines: list[str]) -> list[str]:
    """One level deeper."""
    return [f"    {line}" for line in lines]
