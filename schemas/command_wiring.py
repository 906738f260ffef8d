"""Faults between a command and the fields and parameters that it names."""

from typing import TYPE_CHECKING

from schemas.choices import EVERYTHING, FIELDS, some_of
from schemas.definition import Definition
from schemas.expression import parse_condition
from schemas.outputs import CommandOutput

if TYPE_CHECKING:
    from schemas.quantity import Input, Quantity
    from schemas.step import StepOutput


def command_faults(definition: Definition, path: str, command: CommandOutput) -> list[tuple[str, str, str]]:
    """Key path, message and remedy of each fault of the command at `path`."""
    fields: dict[str, Input | StepOutput] = {**definition.inputs, **definition.fields()}
    named = [(f"{path}.field", command.field)]
    if command.when is not None:
        named += [(f"{path}.when", command.when)]
    if command.confirm is not None:
        named += [(f"{path}.confirm.field", command.confirm.field)]
    faults = [
        (place, f"no field {field}", f"fields are: {some_of(fields, field, FIELDS)}")
        for place, field in named
        if field not in fields
    ]
    if command.when in fields and fields[command.when].type != "bool":
        faults.append((f"{path}.when", f"{command.when} is {fields[command.when].type}", "name a bool field"))
    if command.field in fields:
        faults += _type_faults(path, command, fields[command.field].type)
    if command.confirm is not None and command.confirm.field in fields:
        faults += _confirm_faults(path, command, fields[command.confirm.field].type)
    declared: dict[str, Quantity | StepOutput] = {**fields, **definition.numbers}
    for name, text in command.interlocks.items():
        place, condition = f"{path}.interlocks.{name}", parse_condition(text)
        faults += [
            (
                place,
                f"no field or parameter {field}",
                f"fields and parameters are: {some_of(declared, field, EVERYTHING)}",
            )
            for field in condition.names
            if field not in declared
        ]
        faults += [
            (place, f"{field} is {declared[field].type}, not true or false", "compare it with something")
            for field in condition.truths
            if field in declared and declared[field].type != "bool"
        ]
    return faults


def _type_faults(path: str, command: CommandOutput, kind: str) -> list[tuple[str, str, str]]:
    """A command of a type that can't hold what its field, of another one, may be."""
    if kind == "string" or command.type in {kind, "float"} or (kind, command.type) == ("bool", "int"):
        return []
    becomes = "whatever is not 0 would leave as true" if command.type == "bool" else "a fraction would be cut off"
    message = f"the command is {command.type}, but {command.field} is {kind}: {becomes}"
    return [(f"{path}.type", message, f"write type: {kind}, or name {_one(command.type)} field")]


def _confirm_faults(path: str, command: CommandOutput, kind: str) -> list[tuple[str, str, str]]:
    """A field that can't show a command's value."""
    truth, field = command.type == "bool", command.confirm.field if command.confirm else ""
    if (truth and kind in {"float", "string"}) or (not truth and kind == "bool"):
        message = f"{field} is {kind}, and can't show what a command of type {command.type} did"
        wanted = "bool" if truth else "float or int"
        return [(f"{path}.confirm.field", message, f"name a {wanted} field")]
    return []


def _one(kind: str) -> str:
    return f"an {kind}" if kind == "int" else f"a {kind}"
