"""The part of a kernel that decides whether a command leaves."""

from schemas.definition import Definition
from schemas.outputs import CommandOutput
from twins.kernel.fields import indented, number
from twins.layout import ISSUED_DEPTH

SENT = 1
REFUSED = 2
"""Marks in `fired`: the event or command leaves; the command's value is outside its declared range."""


def command_lines(name: str, command: CommandOutput, column: int, definition: Definition) -> list[str]:
    """Lines that decide about one command and note it in the row."""
    refresh_ns = round(command.refresh_s * 1e9)
    due = f"isnan(row.c_{name}) or value != row.c_{name}"
    if refresh_ns:
        due += f" or time_ns[r] - row.t_{name} >= {refresh_ns}"
    mark = [f"fired[r, {column}] = {SENT}"]
    if command.range:
        low, high = command.range
        mark = [f"fired[r, {column}] = {SENT} if {low!r} <= value <= {high!r} else {REFUSED}"]
    issued = [
        f"if fired[r, {column}] == {SENT}:",
        f"    for age in range({ISSUED_DEPTH - 1}, 0, -1):",
        f"        row.a_{name}[age] = row.a_{name}[age - 1]",
        f"    row.a_{name}[0] = offset[r] & 0xFFFFFFFF",
    ]
    return [
        f"value = {number(command.field, definition)}",
        f"if {due}:",
        *indented([*mark, f"row.c_{name} = value", f"row.t_{name} = time_ns[r]", *issued]),
    ]
