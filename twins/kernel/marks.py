"""The part of a kernel that marks which events, commands and documents a record sets off."""

from schemas.definition import Definition
from twins.kernel.commands import command_lines
from twins.kernel.fields import number, place


def mark_lines(definition: Definition) -> list[str]:
    """Lines that fill `fired`, but for changed metadata."""
    lines = []
    column = 0
    for name, event in definition.outputs.events.items():
        condition = {
            "rising": f"x_{event.when} and not row.e_{name}",
            "falling": f"row.e_{name} and not x_{event.when}",
            "both": f"x_{event.when} != row.e_{name}",
        }[event.edge]
        lines += [f"fired[r, {column}] = {condition}", f"row.e_{name} = x_{event.when}"]
        column += 1
    for name, command in definition.outputs.commands.items():
        lines += command_lines(name, command, column, definition)
        column += 1
    return lines


def metadata_lines(definition: Definition) -> list[str]:
    """Lines that mark changed metadata; before the row takes the new values."""
    names = definition.outputs.metadata
    if not names:
        return []
    changed = " or ".join(f"{number(name, definition)} != row.{place(name, definition)}" for name in names)
    return [f"fired[r, {len(definition.outputs.events) + len(definition.outputs.commands)}] = {changed}"]
