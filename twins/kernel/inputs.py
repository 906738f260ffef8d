"""The part of a kernel that reads a record's inputs."""

from schemas.definition import Definition
from twins.kernel.fields import typed


def input_lines(definition: Definition) -> list[str]:
    """Lines that give every input its `x_` name, or refuse the record."""
    lines: list[str] = []
    for index, (name, declared) in enumerate(definition.inputs.items()):
        lines += [f"raw = inputs[r, {index}]"]
        if definition.missing == "hold_last":
            lines += ["if isnan(raw):", f"    raw = row.i_{name}", "    missing |= isnan(raw)"]
        lines += [f"x_{name} = {typed('raw', declared.type)}"]
    if definition.missing == "hold_last":
        lines += ["if missing:", "    status[r] = MISSING", "    continue"]
    return lines
