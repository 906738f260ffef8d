"""How the generated kernel names and types fields: `x_` a field's value, `row.i_` and `row.o_` its place in the row."""

from typing import TYPE_CHECKING

from schemas.definition import Definition
from schemas.expression import parse_condition

if TYPE_CHECKING:
    from schemas.quantity import Input
    from schemas.step import StepOutput


def value_fields(definition: Definition) -> tuple[str, ...]:
    """Columns of `values`: first what becomes time series, then what events, commands and metadata need besides."""
    outputs = definition.outputs
    wanted = list(outputs.timeseries.fields)
    wanted += [field for event in outputs.events.values() for field in event.data]
    wanted += [command.field for command in outputs.commands.values()]
    wanted += list(outputs.metadata)
    return tuple(dict.fromkeys(wanted))


def typed(value: str, kind: str, *, checked: bool = False) -> str:
    """An expression as the declared type; `checked` where it may be of any."""
    if kind == "bool":
        return f"bool({value})" if checked else f"{value} != 0.0"
    if kind in {"int", "string"}:
        return f"int({value})"
    return f"float({value})" if checked else value


def number(name: str, definition: Definition) -> str:
    """A field's value as a float; numba's `float` takes no booleans."""
    declared: Input | StepOutput = definition.inputs.get(name) or definition.fields()[name]
    return f"(1.0 if x_{name} else 0.0)" if declared.type == "bool" else f"float(x_{name})"


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
