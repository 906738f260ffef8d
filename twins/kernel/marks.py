"""The part of a kernel that marks which events, commands and documents a record sets off."""

from twins.kernel.columns import KernelColumns
from twins.kernel.commands import command_lines, outcome_lines
from twins.kernel.fields import number, place
from twins.kernel.passes import Pass


def mark_lines(over: Pass, columns: KernelColumns) -> list[str]:
    """Lines that fill `fired`, but for changed metadata."""
    definition = over.definition
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
        lines += over.guarded(outcome_lines(name, definition, columns, measured=not over.on_tick))
        lines += over.guarded(command_lines(name, definition, columns))
    return lines


def metadata_lines(over: Pass, columns: KernelColumns) -> list[str]:
    """Lines that mark changed metadata; before the row takes the new values."""
    definition = over.definition
    names = definition.outputs.metadata
    if not names:
        return []
    changed = " or ".join(_changed(name, over) for name in names)
    return [f"fired[r, {columns.metadata}] = {changed}"]


def _changed(name: str, over: Pass) -> str:
    """Condition that a field has another value than the row; one without a value has not changed."""
    value = f"{number(name, over.definition)} != row.{place(name, over.definition)}"
    return f"(k_{name} and {value})" if name in over.unsure else value
