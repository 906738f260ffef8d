"""Writes the Python source of a type's kernels: a pass over a block, in record order, compiled by numba.

The generated functions, with n records and k inputs, or n twins on a tick, for which the second one is:

    kernel_0(rows, backup, cursor, slot, time_ns, offset, ticked_ns, values, fired, status, boot, seq, payload, inputs,
             flag_late)
    tick_0(rows, backup, cursor, slot, time_ns, offset, ticked_ns, values, fired, status)

rows (t,) records; backup (1,); cursor (2,) int64: the record in work, where to begin, and the step in work; slot,
time_ns, offset, boot, seq and payload (n,) int64; ticked_ns: time of the partition's last tick, 0 for none; inputs
(n, k) float64, NaN where a field is missing; values (n, m) float64 out and fired (n, f) uint8 out, zeros before:
`KernelColumns` says what stands where; status (n,) uint8 out, of `twins.admission`.

A pass with steps that are not compiled gets a function for each stretch between them, `kernel_0`, `kernel_1` and so on,
which take two arguments more, `wave` (w,) int64, the records to step, each of another twin, and `hold` (w,) of
`twins.kernel.segments`; backup is (w,) then, and cursor counts along the wave.
"""

from twins.kernel.columns import KernelColumns
from twins.kernel.fields import value_fields
from twins.kernel.inputs import input_lines, kept_lines, outdated
from twins.kernel.marks import document_lines, line_lines, mark_lines, metadata_lines
from twins.kernel.passes import Pass
from twins.kernel.segments import cut, hand_over_lines, take_over_lines
from twins.kernel.steps import elapsed_lines, step_lines
from twins.layout import RowLayout
from twins.wiring import WiredStep

_HEAD = '''"""Generated: the kernel of one twin type."""

from math import isfinite, isnan, nan

import numba

from twins.admission import ACCEPTED, ACCEPTED_LATE, IN_QUARANTINE, MISSING, NOT_FINITE, admit, note
from twins.layout import DRIFTING, QUARANTINED, STALE
'''

_FUNCTION = """

@numba.njit(nogil=True, cache=True)
def {name}(rows, backup, cursor, slot, time_ns, offset, ticked_ns, values, fired, status{more}):
    for {p} in range(cursor[0], {records}.shape[0]):
        cursor[0] = {p}
"""

_RECORD_ARGUMENTS = ", boot, seq, payload, inputs, flag_late"

_ADMISSION = [
    "decision = admit(row, time_ns[r], boot[r], seq[r], payload[r], flag_late)",
    "status[r] = decision",
    "if decision != ACCEPTED and decision != ACCEPTED_LATE:",
    "    continue",
    "missing = 0",
]

_TICK_ADMISSION = [
    "if row.status & QUARANTINED:",
    "    status[r] = IN_QUARANTINE",
    "    continue",
    "status[r] = ACCEPTED",
]

_GOING_ON = [
    "if status[r] != ACCEPTED and status[r] != ACCEPTED_LATE:",
    "    continue",
]

_SINCE_RECORD = [
    "dt_s = 0.0",
    "if status[r] == ACCEPTED and row.records > 0:",
    "    dt_s = (time_ns[r] - row.event_time_ns) * 1e-9",
]


def kernel_source(layout: RowLayout, steps: list[WiredStep]) -> str:
    """Source of the kernels of a definition with these wired steps; `tick` only for a type that has ticks."""
    definition, columns = layout.definition, KernelColumns.of(layout.definition)
    records = Pass(definition, steps, on_tick=False)
    closing = _leaving(steps, records, columns)
    closing += ["note(row, time_ns[r], offset[r], boot[r], seq[r], payload[r])"]
    closing += [f"values[r, {columns.revision}] = row.revision"]
    source = _HEAD + _pass(layout, steps, records, _ADMISSION + input_lines(definition), closing)
    if definition.tick_s:
        ticks = Pass(definition, steps, on_tick=True)
        closing = _leaving(steps, ticks, columns) + (["row.ticked = True"] if definition.steps_on_ticks else [])
        source += _pass(layout, steps, ticks, _TICK_ADMISSION, closing)
    return source


def _pass(layout: RowLayout, steps: list[WiredStep], over: Pass, opening: list[str], closing: list[str]) -> str:
    """Functions of a pass.

    Args:
        layout: The type's rows.
        steps: The whole pipeline.
        over: The pass.
        opening: Lines that admit a record, or a twin on a tick.
        closing: Lines that follow when no step failed.
    """
    stretches, between = cut(steps, over)
    source, backup = "", "backup[p]" if between else "backup[0]"
    definition = over.definition
    known = [*([] if over.on_tick else [*definition.inputs, *definition.implied()]), *sorted(over.unsure)]
    found = known
    for place, stretch in enumerate(stretches):
        if place == 0:
            lines = [*opening, f"{backup} = row", "finite = True", *over.last_lines()]
        else:
            lines = [*_GOING_ON, "finite = True", *take_over_lines(known, over)]
        lines += ([] if over.on_tick else _SINCE_RECORD) + elapsed_lines(steps, over)
        for index, step in stretch:
            lines += step_lines(index, step, layout, over)
            found = [*found, *step.outputs]
        lines += _failure(backup)
        if place < len(between):
            lines += hand_over_lines(list(dict.fromkeys(found)), between[place], over)
            known = list(dict.fromkeys([*known, *found, *between[place][1].outputs]))
            found = []
        else:
            lines += closing
        source += _function(f"{over.name}_{place}", lines, over, in_waves=bool(between))
    return source


def _function(name: str, lines: list[str], over: Pass, *, in_waves: bool) -> str:
    more = ("" if over.on_tick else _RECORD_ARGUMENTS) + (", wave, hold" if in_waves else "")
    p, records = ("p", "wave") if in_waves else ("r", "slot")
    lines = [*(["r = wave[p]"] if in_waves else []), "row = rows[slot[r]]", *lines]
    source = _FUNCTION.format(name=name, more=more, p=p, records=records)
    return source + "".join(f"        {line}\n" for line in lines) + f"    cursor[0] = {records}.shape[0]\n"


def _failure(backup: str) -> list[str]:
    """Lines that put a row back whose step gave NaN or infinity."""
    return [
        "if not finite:",
        f"    rows[slot[r]] = {backup}",
        "    row.status |= QUARANTINED",
        "    row.revision += 1",
        "    row.offset = offset[r]",
        "    status[r] = NOT_FINITE",
        "    continue",
    ]


def _leaving(steps: list[WiredStep], over: Pass, columns: KernelColumns) -> list[str]:
    """Lines that keep what the steps gave in the row, and give what leaves."""
    definition = over.definition
    lines = line_lines(over, columns)
    if definition.takes_late and not over.on_tick:
        lines.append(f"outdated = {outdated(definition)}")
    latest = [f"row.o_{name} = {over.number(name)}" for name in over.given(steps)]
    if over.on_tick:
        lines += metadata_lines(over, columns) + latest
    elif definition.times_each:
        lines += over.in_order(metadata_lines(over, columns)) + kept_lines(definition) + over.in_order(latest)
    else:
        lines += over.in_order(metadata_lines(over, columns) + kept_lines(definition) + latest)
    lines += [f"values[r, {column}] = {over.number(name)}" for column, name in enumerate(value_fields(definition))]
    return lines + mark_lines(over, columns) + document_lines(over, columns)
