"""Where a pass is cut: steps that are not compiled lie between compiled stretches, which hand over through `hold`.

`hold` has a record for each twin record in work: every field by its `x_` name and, where it may have no value, its `k_`
name, and for each step that is not compiled its arguments as a record of their own, `g_` and the step's number, and
`d_` whether it is to run.
"""

from typing import Any

import numpy as np

from twins.kernel.fields import DTYPES, argument_type, field_types
from twins.kernel.passes import Pass
from twins.kernel.steps import argument
from twins.wiring import WiredStep

Numbered = tuple[int, WiredStep]
"""A step and its place in the pipeline."""


def cut(steps: list[WiredStep], over: Pass) -> tuple[list[list[Numbered]], list[Numbered]]:
    """Compiled stretches of a pass, and the steps between each and the next; one more stretch than those."""
    stretches: list[list[Numbered]] = [[]]
    between: list[Numbered] = []
    for index, step in enumerate(steps):
        if not over.runs(step):
            continue
        if step.compiled:
            stretches[-1].append((index, step))
        else:
            between.append((index, step))
            stretches.append([])
    return stretches, between


def given_fields(step: WiredStep) -> list[tuple[str, str, str]]:
    """Arguments of a step other than its state: names in the record it is given, then as `WiredStep.arguments`."""
    return [(f"a{place}", kind, name) for place, (kind, name) in enumerate(step.arguments) if kind != "state"]


def hold_dtype(between: list[Numbered], over: Pass) -> np.dtype[np.void]:
    """A record of `hold`."""
    definition = over.definition
    fields: list[Any] = [(f"x_{name}", DTYPES[kind]) for name, kind in field_types(definition).items()]
    fields += [(f"k_{name}", np.bool_) for name in sorted(over.unsure)]
    for index, step in between:
        fields.append((f"d_{index}", np.bool_))
        given = [
            (name, np.float64 if kind == "converted" else DTYPES[argument_type(source, definition)])
            for name, kind, source in given_fields(step)
        ]
        fields += [(f"g_{index}", np.dtype(given, align=True))] if given else []
    dtype: np.dtype[np.void] = np.dtype(fields, align=True)
    return dtype


def hand_over_lines(found: list[str], following: Numbered, over: Pass) -> list[str]:
    """Lines that end a stretch: the fields it found go into `hold`, and with them what the following step takes."""
    index, step = following
    lines = ["carried = hold[p]", *(f"carried.{name} = {name}" for name in _names(found, over))]
    lines.append(f"carried.d_{index} = {' and '.join(f'k_{name}' for name in over.needs(step)) or 'True'}")
    given = given_fields(step)
    lines += [f"given = carried.g_{index}"] if given else []
    return lines + [f"given.{name} = {argument(index, step, kind, source, over)}" for name, kind, source in given]


def take_over_lines(known: list[str], over: Pass) -> list[str]:
    """Lines that begin a later stretch with what was known at the end of the one before, and came since."""
    return ["carried = hold[p]", *(f"{name} = carried.{name}" for name in _names(known, over))]


def _names(fields: list[str], over: Pass) -> list[str]:
    return [f"x_{name}" for name in fields] + [f"k_{name}" for name in fields if name in over.unsure]
