"""The part of a kernel that calls the steps."""

from schemas.definition import Definition
from twins.kernel.fields import place, typed
from twins.layout import RowLayout
from twins.wiring import WiredStep

_AMBIENT = {
    "dt_s": "dt_s",
    "time_s": "time_ns[r] * 1e-9",
    "time_ns": "time_ns[r]",
    "records": "row.records + 1",
}


def step_lines(index: int, step: WiredStep, layout: RowLayout) -> list[str]:
    """Lines that call the step number `index` and give its outputs their `x_` names; they find NaN and infinity."""
    definition = layout.definition
    arguments = ", ".join(_argument(index, step, kind, name, definition) for kind, name in step.arguments)
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


def _argument(index: int, step: WiredStep, kind: str, name: str, definition: Definition) -> str:
    if kind == "state":
        return f"row.s_{step.name}"
    if kind == "constant":
        return f"constant_{index}_{name}"
    if kind in {"converted", "previous"}:
        return _derived(index, step, kind, name, definition)
    if name in _AMBIENT:
        return _AMBIENT[name]
    if name in definition.parameters:
        return typed(f"row.p_{name}", definition.parameters[name].type)
    return f"x_{name}"


def _derived(index: int, step: WiredStep, kind: str, name: str, definition: Definition) -> str:
    """What is not a field as it is: one in another unit, or the value that the row still holds of the last record."""
    if kind == "converted":
        field, linear = step.conversions[name]
        return f"({_argument(index, step, 'field', field, definition)} * {linear.factor!r} + {linear.offset!r})"
    declared = definition.inputs.get(name) or definition.fields()[name]
    before = f"row.{place(name, definition)}"
    return typed(f"(0.0 if isnan({before}) else {before})", declared.type)
