"""Writes the Python source of a type's kernels: one pass over a block, in record order, compiled by numba.

The generated functions, with n records and k inputs, or n twins on a tick, for which the second one is:

    kernel(rows, backup, cursor, slot, time_ns, offset, ticked_ns, boot, seq, payload, inputs, values, fired, status,
           flag_late)
    tick(rows, backup, cursor, slot, time_ns, offset, ticked_ns, values, fired, status)

rows (t,) records; backup (1,); cursor (1,) int64: the record in work, where to begin; slot, time_ns, offset, boot, seq
and payload (n,) int64; ticked_ns: time of the partition's last tick, 0 for none; inputs (n, k) float64, NaN where a
field is missing; values (n, m) float64 out and fired (n, f) uint8 out, zeros before: `KernelColumns` says what stands
where; status (n,) uint8 out, of `twins.admission`.
"""

from twins.kernel.columns import KernelColumns
from twins.kernel.fields import value_fields
from twins.kernel.inputs import input_lines
from twins.kernel.marks import mark_lines, metadata_lines
from twins.kernel.passes import Pass
from twins.kernel.steps import elapsed_lines, step_lines
from twins.layout import RowLayout
from twins.wiring import WiredStep

_HEAD = '''"""Generated: the kernel of one twin type."""

from math import isfinite, isnan, nan

import numba

from twins.admission import ACCEPTED, ACCEPTED_LATE, IN_QUARANTINE, MISSING, NOT_FINITE, admit, note
from twins.layout import QUARANTINED


@numba.njit(nogil=True, cache=True)
def kernel(
    rows, backup, cursor, slot, time_ns, offset, ticked_ns, boot, seq, payload, inputs, values, fired, status, flag_late
):
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

_TICK_HEAD = """

@numba.njit(nogil=True, cache=True)
def tick(rows, backup, cursor, slot, time_ns, offset, ticked_ns, values, fired, status):
    for r in range(cursor[0], slot.shape[0]):
        cursor[0] = r
        row = rows[slot[r]]
        if row.status & QUARANTINED:
            status[r] = IN_QUARANTINE
            continue
        status[r] = ACCEPTED
"""

_TAIL = "    cursor[0] = slot.shape[0]\n"

_FAILURE = [
    "if not finite:",
    "    rows[slot[r]] = backup[0]",
    "    row.status |= QUARANTINED",
    "    row.revision += 1",
    "    row.offset = offset[r]",
    "    status[r] = NOT_FINITE",
    "    continue",
]


def kernel_source(layout: RowLayout, steps: list[WiredStep]) -> str:
    """Source of the kernels of a definition with these wired steps; `tick` only for a type that has ticks."""
    definition, columns = layout.definition, KernelColumns.of(layout.definition)
    records = Pass(definition, steps, on_tick=False)
    lines = input_lines(definition) + _stepping(layout, steps, records)
    lines += _leaving(steps, records, columns)
    lines += ["note(row, time_ns[r], offset[r], boot[r], seq[r], payload[r])"]
    lines += [f"values[r, {columns.revision}] = row.revision"]
    source = _HEAD + _body(lines) + _TAIL
    if definition.tick_s:
        ticks = Pass(definition, steps, on_tick=True)
        lines = _stepping(layout, steps, ticks) + _leaving(steps, ticks, columns)
        lines += ["row.ticked = True"] if definition.steps_on_ticks else []
        source += _TICK_HEAD + _body(lines) + _TAIL
    return source


def _body(lines: list[str]) -> str:
    return "".join(f"        {line}\n" for line in lines)


def _stepping(layout: RowLayout, steps: list[WiredStep], over: Pass) -> list[str]:
    """Lines that run the steps of a pass; a twin whose step fails goes no further."""
    lines = ["backup[0] = row", "finite = True", *over.last_lines(), *elapsed_lines(steps, over)]
    for index, step in enumerate(steps):
        if over.runs(step):
            lines += step_lines(index, step, layout, over)
    return lines + _FAILURE


def _leaving(steps: list[WiredStep], over: Pass, columns: KernelColumns) -> list[str]:
    """Lines that keep what the steps gave in the row, and give what leaves."""
    lines = metadata_lines(over, columns)
    if not over.on_tick:
        lines += [f"row.i_{name} = {over.number(name)}" for name in over.definition.inputs]
    given = [name for step in steps if over.runs(step) for name in step.outputs]
    lines += [f"row.o_{name} = {over.number(name)}" for name in given]
    lines += [f"values[r, {column}] = {over.number(name)}" for column, name in enumerate(value_fields(over.definition))]
    return lines + mark_lines(over, columns)
