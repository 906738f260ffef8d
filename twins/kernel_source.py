"""Writes the Python source of a type's kernel: one pass over a block, in record order, compiled by numba.

The generated function, with n records, k inputs and m values:

    kernel(rows, backup, cursor, slot, time_ns, offset, boot, seq, payload, inputs, values, fired, status, flag_late)

rows (t,) records; backup (1,); cursor (1,) int64: the record in work, where to begin; slot, time_ns, offset, boot, seq
and payload (n,) int64; inputs (n, k) float64, NaN where a field is missing; values (n, m + 1) float64 out:
`value_fields`, then the twin's revision; fired (n, events + commands + 2) uint8 out: after events and commands a mark
for changed metadata and one that the kernel leaves alone; status (n,) uint8 out, of `twins.admission`.
"""

from schemas.definition import Definition
from twins.layout import ISSUED_DEPTH, RowLayout
from twins.wiring import WiredStep

SENT = 1
REFUSED = 2
"""Marks in `fired`: the event or command leaves; the command's value is outside its declared range."""

_AMBIENT = {
    "dt_s": "dt_s",
    "time_s": "time_ns[r] * 1e-9",
    "time_ns": "time_ns[r]",
    "records": "row.records + 1",
}

_HEAD = '''"""Generated: the kernel of one twin type."""

from math import isfinite, isnan, nan

import numba

from twins.admission import ACCEPTED, ACCEPTED_LATE, MISSING, NOT_FINITE, admit, note
from twins.layout import QUARANTINED


@numba.njit(nogil=True, cache=True)
def kernel(rows, backup, cursor, slot, time_ns, offset, boot, seq, payload, inputs, values, fired, status, flag_late):
    for r in range(cursor[0], slot.shape[0]):
        cursor[0] = r
        row = rows[slot[r]]
        decision = admit(row, time_ns[r], boot[r], seq[r], payload[r], flag_late)
        status[r] = decision
        if decision != ACCEPTED and decision != ACCEPTED_LATE:
            continue
        dt_s = 0.0
        if decision == ACCEPTED and row.records > 0:
            dt_s = (time_ns[r] - row.event_time_ns) * 1e-9
        missing = False
'''


def value_fields(definition: Definition) -> tuple[str, ...]:
    """Columns of `values`: first what becomes time series, then what events, commands and metadata need besides."""
    outputs = definition.outputs
    wanted = list(outputs.timeseries.fields)
    wanted += [field for event in outputs.events.values() for field in event.data]
    wanted += [command.field for command in outputs.commands.values()]
    wanted += list(outputs.metadata)
    return tuple(dict.fromkeys(wanted))


def kernel_source(layout: RowLayout, steps: list[WiredStep]) -> str:
    """Source of the kernel of a definition with these wired steps."""
    definition = layout.definition
    lines: list[str] = []
    for index, (name, declared) in enumerate(definition.inputs.items()):
        lines += [f"raw = inputs[r, {index}]"]
        if definition.missing == "hold_last":
            lines += ["if isnan(raw):", f"    raw = row.i_{name}", "    missing |= isnan(raw)"]
        lines += [f"x_{name} = {_typed('raw', declared.type)}"]
    if definition.missing == "hold_last":
        lines += ["if missing:", "    status[r] = MISSING", "    continue"]
    lines += ["backup[0] = row", "finite = True"]
    for index, step in enumerate(steps):
        lines += _step(index, step, layout)
    lines += _failure() + _results(definition) + _marks(definition)
    lines += ["note(row, time_ns[r], offset[r], boot[r], seq[r], payload[r])"]
    lines += [f"values[r, {len(value_fields(definition))}] = row.revision"]
    return _HEAD + "".join(f"        {line}\n" for line in lines) + "    cursor[0] = slot.shape[0]\n"


def _step(index: int, step: WiredStep, layout: RowLayout) -> list[str]:
    definition = layout.definition
    arguments = ", ".join(_argument(index, step, kind, name, definition) for kind, name in step.arguments)
    results = [f"r_{index}_{number}" for number in range(len(step.outputs))]
    lines = [f"{', '.join(results)} = step_{index}({arguments})" if results else f"step_{index}({arguments})"]
    declared = definition.fields()
    for result, field in zip(results, step.outputs, strict=True):
        lines.append(f"x_{field} = {_typed(result, declared[field].type, checked=True)}")
        # Of the result itself: NaN made a whole number or a boolean looks like any other. Adding makes a float of all.
        lines.append(f"finite &= isfinite({result} + 0.0)")
    for name, item in layout.states.get(step.name, {}).items():
        if item.type == "float":
            place = f"row.s_{step.name}.{name}"
            for depth, size in enumerate(item.shape):
                lines.append(f"{'    ' * depth}for a{depth} in range({size}):")
            subscript = ", ".join(f"a{depth}" for depth in range(len(item.shape)))
            element = f"{place}[{subscript}]" if subscript else place
            lines.append(f"{'    ' * len(item.shape)}finite &= isfinite({element})")
    return lines


def _argument(index: int, step: WiredStep, kind: str, name: str, definition: Definition) -> str:
    if kind == "state":
        return f"row.s_{step.name}"
    if kind == "constant":
        return f"constant_{index}_{name}"
    if name in _AMBIENT:
        return _AMBIENT[name]
    if name in definition.parameters:
        return _typed(f"row.p_{name}", definition.parameters[name].type)
    return f"x_{name}"


def _typed(value: str, kind: str, *, checked: bool = False) -> str:
    if kind == "bool":
        return f"bool({value})" if checked else f"{value} != 0.0"
    if kind in {"int", "string"}:
        return f"int({value})"
    return f"float({value})" if checked else value


def _failure() -> list[str]:
    return [
        "if not finite:",
        "    rows[slot[r]] = backup[0]",
        "    row.status |= QUARANTINED",
        "    row.revision += 1",
        "    row.offset = offset[r]",
        "    status[r] = NOT_FINITE",
        "    continue",
    ]


def _results(definition: Definition) -> list[str]:
    lines = []
    if definition.outputs.metadata:
        changed = " or ".join(
            f"{_number(name, definition)} != row.{_place(name, definition)}" for name in definition.outputs.metadata
        )
        lines.append(f"fired[r, {len(definition.outputs.events) + len(definition.outputs.commands)}] = {changed}")
    lines += [f"row.i_{name} = {_number(name, definition)}" for name in definition.inputs]
    lines += [f"row.o_{name} = {_number(name, definition)}" for name in definition.fields()]
    lines += [
        f"values[r, {column}] = {_number(name, definition)}" for column, name in enumerate(value_fields(definition))
    ]
    return lines


def _number(name: str, definition: Definition) -> str:
    """A field's value as a float; numba's `float` takes no booleans."""
    declared = definition.inputs.get(name) or definition.fields()[name]
    return f"(1.0 if x_{name} else 0.0)" if declared.type == "bool" else f"float(x_{name})"


def _place(name: str, definition: Definition) -> str:
    return f"i_{name}" if name in definition.inputs else f"o_{name}"


def _marks(definition: Definition) -> list[str]:
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
        refresh_ns = round(command.refresh_s * 1e9)
        due = f"isnan(row.c_{name}) or value != row.c_{name}"
        if refresh_ns:
            due += f" or time_ns[r] - row.t_{name} >= {refresh_ns}"
        mark = [f"fired[r, {column}] = {SENT}"]
        if command.range:
            low, high = command.range
            mark = [f"fired[r, {column}] = {SENT} if {low!r} <= value <= {high!r} else {REFUSED}"]
        lines += [f"value = {_number(command.field, definition)}", f"if {due}:"]
        issued = [
            f"if fired[r, {column}] == {SENT}:",
            f"    for age in range({ISSUED_DEPTH - 1}, 0, -1):",
            f"        row.a_{name}[age] = row.a_{name}[age - 1]",
            f"    row.a_{name}[0] = offset[r] & 0xFFFFFFFF",
        ]
        lines += [f"    {line}" for line in (*mark, f"row.c_{name} = value", f"row.t_{name} = time_ns[r]", *issued)]
        column += 1
    return lines
