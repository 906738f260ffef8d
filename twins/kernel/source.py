"""Writes the Python source of a type's kernel: one pass over a block, in record order, compiled by numba.

The generated function, with n records and k inputs:

    kernel(rows, backup, cursor, slot, time_ns, offset, boot, seq, payload, inputs, values, fired, status, flag_late)

rows (t,) records; backup (1,); cursor (1,) int64: the record in work, where to begin; slot, time_ns, offset, boot, seq
and payload (n,) int64; inputs (n, k) float64, NaN where a field is missing; values (n, m) float64 out and fired (n, f)
uint8 out, zeros before: `KernelColumns` says what stands where; status (n,) uint8 out, of `twins.admission`.
"""

from schemas.definition import Definition
from twins.kernel.columns import KernelColumns
from twins.kernel.fields import number, value_fields
from twins.kernel.inputs import input_lines
from twins.kernel.marks import mark_lines, metadata_lines
from twins.kernel.steps import step_lines
from twins.layout import RowLayout
from twins.wiring import WiredStep

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
    """Source of the kernel of a definition with these wired steps."""
    definition, columns = layout.definition, KernelColumns.of(layout.definition)
    lines = input_lines(definition)
    lines += ["backup[0] = row", "finite = True"]
    for index, step in enumerate(steps):
        lines += step_lines(index, step, layout)
    lines += _FAILURE + metadata_lines(definition, columns) + _results(definition)
    lines += mark_lines(definition, columns)
    lines += ["note(row, time_ns[r], offset[r], boot[r], seq[r], payload[r])"]
    lines += [f"values[r, {columns.revision}] = row.revision"]
    return _HEAD + "".join(f"        {line}\n" for line in lines) + "    cursor[0] = slot.shape[0]\n"


def _results(definition: Definition) -> list[str]:
    """Lines that keep every field in the row and give those that leave."""
    lines = [f"row.i_{name} = {number(name, definition)}" for name in definition.inputs]
    lines += [f"row.o_{name} = {number(name, definition)}" for name in definition.fields()]
    return lines + [
        f"values[r, {column}] = {number(name, definition)}" for column, name in enumerate(value_fields(definition))
    ]
