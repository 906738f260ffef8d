"""The part of a kernel that marks which events, commands and documents a record sets off."""

from schemas.definition import Definition
from twins.kernel.columns import KernelColumns
from twins.kernel.commands import command_lines, outcome_lines
from twins.kernel.fields import number, place


def mark_lines(definition: Definition, columns: KernelColumns) -> list[str]:
    """Lines that fill `fired`, but for changed metadata."""
    lines = []
    for column, (name, event) in enumerate(definition.outputs.events.items(), columns.events):
        condition = {
            "rising": f"x_{event.when} and not row.e_{name}",
            "falling": f"row.e_{name} and not x_{event.when}",
            "both": f"x_{event.when} != row.e_{name}",
            "each": f"x_{event.when}",
        }[event.edge]
        lines += [f"fired[r, {column}] = {condition}", f"row.e_{name} = x_{event.when}"]
    if definition.outputs.commands:
        lines.append("at_ns, cause = time_ns[r], offset[r]")
    for name in definition.outputs.commands:
        lines += outcome_lines(name, definition, columns) + command_lines(name, definition, columns)
    return lines


def metadata_lines(definition: Definition, columns: KernelColumns) -> list[str]:
    """Lines that mark changed metadata; before the row takes the new values."""
    names = definition.outputs.metadata
    if not names:
        return []
    changed = " or ".join(f"{number(name, definition)} != row.{place(name, definition)}" for name in names)
    return [f"fired[r, {columns.metadata}] = {changed}"]
