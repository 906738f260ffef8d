"""The part of a kernel that calls the steps."""

from schemas.definition import AMBIENT
from twins.kernel.fields import indented, place, salt_of, typed
from twins.kernel.passes import Pass
from twins.layout import RowLayout
from twins.wiring import WiredStep

_LAST = [
    "last_ns = row.event_time_ns if row.records > 0 else 0",
    "if row.ticked and ticked_ns > last_ns:",
    "    last_ns = ticked_ns",
    "dt_any_s = (time_ns[r] - last_ns) * 1e-9 if 0 < last_ns < time_ns[r] else 0.0",
]
_TICKED = ["dt_tick_s = (time_ns[r] - ticked_ns) * 1e-9 if row.ticked else 0.0"]


def elapsed_lines(steps: list[WiredStep], over: Pass) -> list[str]:
    """Lines that give the steps which ticks step, too, the time since they ran last."""
    names = {_elapsed(step, over) for step in steps if over.runs(step) and "dt_s" in step.fields}
    lines = _LAST if "dt_any_s" in names else []
    return lines + (_TICKED if "dt_tick_s" in names else [])


def step_lines(index: int, step: WiredStep, layout: RowLayout, over: Pass) -> list[str]:
    """Lines that call the step number `index` and give its outputs their `x_` names; they find NaN and infinity."""
    # What a step raises does not tell which step it was.
    lines = [f"cursor[1] = {index}", *_call_lines(index, step, layout, over)]
    lines += [f"k_{field} = True" for field in step.outputs if field in over.unsure]
    if needs := over.needs(step):
        return [f"if {' and '.join(f'k_{name}' for name in needs)}:", *indented(lines)]
    return lines


def _call_lines(index: int, step: WiredStep, layout: RowLayout, over: Pass) -> list[str]:
    definition = layout.definition
    arguments = ", ".join(argument(index, step, kind, name, over) for kind, name in step.arguments)
    results = [f"r_{index}_{number}" for number in range(len(step.outputs))]
    lines = [f"{', '.join(results)} = step_{index}({arguments})" if results else f"step_{index}({arguments})"]
    declared = definition.fields()
    for result, field in zip(results, step.outputs, strict=True):
        lines.append(f"x_{field} = {typed(result, declared[field].type, checked=True)}")
        # Of the result itself: NaN made a whole number or a boolean looks like any other. Adding makes a float of all.
        lines.append(f"finite &= isfinite({result} + 0.0)")
    for name, item in layout.states.get(step.name, {}).items():
        if item.type == "float":
            item_place = f"row.s_{step.name}.{name}"
            for depth, size in enumerate(item.shape):
                lines.append(f"{'    ' * depth}for a{depth} in range({size}):")
            subscript = ", ".join(f"a{depth}" for depth in range(len(item.shape)))
            element = f"{item_place}[{subscript}]" if subscript else item_place
            lines.append(f"{'    ' * len(item.shape)}finite &= isfinite({element})")
    return lines


def _elapsed(step: WiredStep, over: Pass) -> str:
    """Name of the time since a step ran last."""
    if over.on_both(step):
        return "dt_any_s"
    return "dt_tick_s" if over.on_tick else "dt_s"


def _ambient(name: str, step: WiredStep, over: Pass) -> str:
    if name == "random_seed":
        return f"seed_of(row.identity, offset[r], {salt_of(over.definition, step.name)})"
    records = "row.records" if over.on_tick else "row.records + 1"
    known = {"time_s": "time_ns[r] * 1e-9", "time_ns": "time_ns[r]", "records": records, "dt_s": _elapsed(step, over)}
    return known[name]


def argument(index: int, step: WiredStep, kind: str, name: str, over: Pass) -> str:
    """What the step number `index` gets for one of its arguments, as an expression of its declared type."""
    if kind == "state":
        return f"row.s_{step.name}"
    if kind == "constant":
        return f"constant_{index}_{name}"
    if kind in {"converted", "previous"}:
        return _derived(index, step, kind, name, over)
    if name in AMBIENT:
        return _ambient(name, step, over)
    if name in over.definition.parameters:
        return typed(f"row.p_{name}", over.definition.parameters[name].type)
    return f"x_{name}"


def _derived(index: int, step: WiredStep, kind: str, name: str, over: Pass) -> str:
    """What is not a field as it is: one in another unit, or the value that the row still holds of the last record."""
    definition = over.definition
    if kind == "converted":
        field, linear = step.conversions[name]
        return f"({argument(index, step, 'field', field, over)} * {linear.factor!r} + {linear.offset!r})"
    declared = definition.inputs.get(name) or definition.fields()[name]
    before = f"row.{place(name, definition)}"
    return typed(f"(0.0 if isnan({before}) else {before})", declared.type)
