"""The part of a kernel that reads a record's inputs."""

import math

from schemas.definition import Definition, outside_field, stale_field
from schemas.quantity import Input
from twins.kernel.fields import indented, number, typed

_MARKED = 52
"""So many inputs are told apart when they are missing: as bits of a float."""


def input_lines(definition: Definition) -> list[str]:
    """Lines that give every input its `x_` name, and every field that it brings along, or refuse the record."""
    hold = definition.missing == "hold_last"
    lines: list[str] = []
    for index, (name, declared) in enumerate(definition.inputs.items()):
        own, held = _own_lines(name, declared), _held_lines(index, name, declared)
        lines += [f"raw = inputs[r, {index}]"]
        lines += ["if isnan(raw):", *indented(held), "else:", *indented(own)] if hold and own else own
        if hold and not own:
            lines += ["if isnan(raw):", *indented(held)]
        lines += [f"x_{name} = {typed('raw', declared.type)}"]
        if declared.max_age_s is not None:
            lines += [f"x_{stale_field(name)} = {stale(declared, f'own_{name}', now_ns(definition))}"]
    if hold:
        # Which ones: nothing else is in the values of a record that is refused.
        lines += ["if missing:", "    status[r] = MISSING", "    values[r, 0] = missing", "    continue"]
    return lines


def stale(declared: Input, own_ns: str, now_ns: str = "time_ns[r]") -> str:
    """Condition that the own value of an input, of `own_ns`, is too old."""
    return f"{now_ns} - {own_ns} > {round((declared.max_age_s or 0.0) * 1e9)}"


def now_ns(definition: Definition) -> str:
    """Where a record finds its twin: a late one turns no time back."""
    return "max(time_ns[r], row.event_time_ns)" if definition.takes_late else "time_ns[r]"


def outdated(definition: Definition) -> str:
    """Condition that an input has a later value than the one that came with the record."""
    if definition.missing != "hold_last":
        return "status[r] == ACCEPTED_LATE"
    return " or ".join(f"({_given(name, definition)} and time_ns[r] < row.u_{name})" for name in definition.inputs)


def kept_lines(definition: Definition) -> list[str]:
    """Lines that keep in the row the inputs, and of when they are; of an `outdated` record those that are not."""
    lines: list[str] = []
    for name, declared in definition.inputs.items():
        kept = [f"row.i_{name} = {number(name, definition)}"]
        if name in definition.timed_inputs:
            kept += [f"if {_given(name, definition)}:", f"    row.u_{name} = time_ns[r]"]
        if definition.times_each:
            if declared.outside != "refuse":
                kept.append(f"row.o_{outside_field(name)} = {number(outside_field(name), definition)}")
            if name in definition.outputs.metadata:
                # Its document would say what is outdated, too: the next record or tick tells it.
                kept.insert(0, f"row.untold = row.untold or (outdated and row.i_{name} != {number(name, definition)})")
            kept = [
                f"if not outdated or ({_given(name, definition)} and time_ns[r] >= row.u_{name}):", *indented(kept)
            ]  # fmt: skip
        lines += kept
    return lines


def _given(name: str, definition: Definition) -> str:
    """Condition that an input came with the record."""
    return f"not isnan(inputs[r, {list(definition.inputs).index(name)}])"


def _own_lines(name: str, declared: Input) -> list[str]:
    """Lines for a value that came with the record."""
    lines = []
    if declared.outside != "refuse":
        low, high = declared.limits()
        beyond = [(f"raw < {float(low)!r}", low)] if math.isfinite(low) else []
        beyond += [(f"raw > {float(high)!r}", high)] if math.isfinite(high) else []
        lines += [f"x_{outside_field(name)} = {' or '.join(condition for condition, _ in beyond)}"]
        if declared.outside == "clamp":
            for condition, limit in beyond:
                lines += [f"if {condition}:", f"    raw = {float(limit)!r}"]
    if declared.max_age_s is not None:
        # A late record makes nothing older.
        lines += [f"own_{name} = max(row.u_{name}, time_ns[r])"]
    return lines


def missing_inputs(definition: Definition, marked: float) -> str:
    """Names of the inputs that a record lacked and that had no value to hold, as the kernel marked them."""
    bits = int(marked)
    names = [name for index, name in enumerate(definition.inputs) if index < _MARKED and bits >> index & 1]
    return ", ".join([*names, *(["others"] if bits >> _MARKED else [])])


def _held_lines(index: int, name: str, declared: Input) -> list[str]:
    """Lines for a value that is held from before."""
    lines = [f"raw = row.i_{name}", "if isnan(raw):"]
    if declared.default is None:
        lines.append(f"    missing |= {1 << min(index, _MARKED)}")
    else:
        lines.append(f"    raw = {declared.encode(declared.default)!r}")
    if declared.outside != "refuse":
        lines += [f"x_{outside_field(name)} = row.o_{outside_field(name)} == 1.0"]
    if declared.max_age_s is not None:
        lines += [f"own_{name} = row.u_{name}"]
    return lines
