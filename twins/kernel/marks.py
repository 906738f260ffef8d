"""The part of a kernel that marks which events, commands and documents a record sets off."""

from collections.abc import Iterable

from schemas.definition import stale_field
from twins.kernel.columns import KernelColumns
from twins.kernel.commands import command_lines, outcome_lines
from twins.kernel.fields import number, place
from twins.kernel.inputs import now_ns
from twins.kernel.passes import Pass

DOCUMENT = 1
"""Mark in `fired` for a document that is due; the twin's status is added to it."""


def mark_lines(over: Pass, columns: KernelColumns) -> list[str]:
    """Lines that fill `fired`, but for changed metadata."""
    definition = over.definition
    lines: list[str] = []
    raised: list[str] = []
    for column, (name, event) in enumerate(definition.outputs.events.items(), columns.events):
        condition = {
            "rising": f"x_{event.when} and not row.e_{name}",
            "falling": f"row.e_{name} and not x_{event.when}",
            "both": f"x_{event.when} != row.e_{name}",
            # What a record said is not said again by every tick after it, nor the other way round.
            "each": f"x_{event.when}" if over.is_fresh(event.when) else "False",
        }[event.edge]
        # What a step raises is of its record, however old that is; an edge is one of the twin.
        (raised if event.edge == "each" else lines).append(f"fired[r, {column}] = {condition}")
        lines.append(f"row.e_{name} = x_{event.when}")
    if definition.outputs.commands:
        lines.append(f"at_ns, cause = {'time_ns[r]' if over.on_tick else now_ns(definition)}, offset[r]")
    for name, command in definition.outputs.commands.items():
        lines += outcome_lines(name, definition, columns, measured=not over.on_tick, unsure=over.unsure)
        if command.when is None or over.is_fresh(command.when):
            lines += over.guarded(command_lines(name, definition, columns))
    return raised + over.in_order(lines)


def metadata_lines(over: Pass, columns: KernelColumns) -> list[str]:
    """Lines that mark changed metadata; before the row takes the new values."""
    definition, mark = over.definition, f"fired[r, {columns.metadata}]"
    names = definition.outputs.metadata
    if definition.leaves_untold:
        return [f"{mark} = row.untold or {_any_changed(names, over)}", "row.untold = False"]
    return [f"{mark} = {_any_changed(names, over)}"] if names else []


def line_lines(over: Pass, columns: KernelColumns) -> list[str]:
    """Lines that say whether a line of time series is due; before the row takes the new values."""
    series = over.definition.outputs.timeseries
    if series.when == "change":
        return [f"values[r, {columns.line}] = 1.0 if {_any_changed(series.fields, over)} else 0.0"]
    if series.when == "interval":
        interval_ns = round(series.interval_s * 1e9)
        return [
            f"line = row.line_ns == 0 or time_ns[r] - row.line_ns >= {interval_ns}",
            "if line:",
            "    row.line_ns = time_ns[r]",
            f"values[r, {columns.line}] = 1.0 if line else 0.0",
        ]
    return []


def document_lines(over: Pass, columns: KernelColumns) -> list[str]:
    """Lines that note the twin's status, and add it to the mark of its document, which is due when it changed."""
    definition, mark = over.definition, f"fired[r, {columns.metadata}]"
    if not definition.has_status:
        return []
    status = definition.outputs.status
    stale = [*map(stale_field, definition.stale_inputs), *([status.stale] if status.stale else [])]
    lines = ["flags = 0"]
    if stale:
        lines += [f"if {' or '.join(f'x_{name}' for name in stale)}:", "    flags |= STALE"]
    if status.drifting:
        lines += [f"if x_{status.drifting}:", "    flags |= DRIFTING"]
    lines += [f"if {mark} or flags != row.status:", f"    {mark} = {DOCUMENT} + flags", "row.status = flags"]
    return over.in_order(lines)


def _any_changed(names: Iterable[str], over: Pass) -> str:
    return " or ".join(_changed(name, over) for name in names)


def _changed(name: str, over: Pass) -> str:
    """Condition that a field has another value than the row; one without a value has not changed."""
    value = f"{number(name, over.definition)} != row.{place(name, over.definition)}"
    return f"(k_{name} and {value})" if name in over.unsure else value
