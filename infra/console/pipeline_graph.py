"""A pipeline as a drawing: steps in columns by what they need; what is of the previous record is dashed. Pure."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from schemas.definition import Definition
from schemas.step import Converted, Previous, Step
from twins.functions.registry import BUILT_INS

_WIDE, _HIGH, _GAP_X, _GAP_Y, _EDGE = 156, 46, 56, 18, 8
_LETTERS = 21


@dataclass(slots=True)
class Node:
    """A box.

    Attributes:
        name: What it is called.
        below: A second, smaller line.
        hint: What is told on hover.
        kind: `inputs`, `step` or `outputs`.
        needs: Boxes whose results it takes; true where those of the previous record.
    """

    name: str
    below: str
    hint: str
    kind: str
    needs: dict[str, bool] = field(default_factory=dict)
    column: int = 0
    row: int = 0


def nodes_of(definition: Definition, files: Mapping[str, bytes]) -> list[Node]:
    """The boxes of a type, inputs first.

    Args:
        definition: Of the type.
        files: Of its folder: the arguments of its functions are fields that they take.
    """
    made_by = dict.fromkeys(definition.inputs, "inputs")
    for step in definition.pipeline:
        made_by |= dict.fromkeys(step.outputs, step.name)
    nodes = [Node("inputs", _number(definition.inputs, "input"), ", ".join(definition.inputs), "inputs")]
    for step in definition.pipeline:
        node = Node(step.name, step.step, f"{step.step}: {', '.join(step.outputs)}", "step")
        for name, previous in _taken(step, files).items():
            source = made_by.get(name)
            if source is not None and source != step.name:
                node.needs[source] = node.needs.get(source, True) and previous
        nodes.append(node)
    outputs = definition.outputs
    for title, fields in (
        ("time series", list(outputs.timeseries.fields)),
        ("events", [one.when for one in outputs.events.values()]),
        ("commands", [one.field for one in outputs.commands.values()]),
    ):
        if fields:
            names = [name for name in made_by if any(name == text or name in _words(text) for text in fields)]
            node = Node(
                title, _number(fields, "field" if title == "time series" else title[:-1]), ", ".join(fields), "outputs"
            )
            node.needs = {made_by[name]: False for name in names}
            nodes.append(node)
    _place(nodes)
    return nodes


def _taken(step: Step, files: Mapping[str, bytes]) -> dict[str, bool]:
    """Fields that a step takes, and whether those of the previous record."""
    if ":" in step.step:
        arguments = _arguments(step.step, files)
    else:
        arguments = list(BUILT_INS[step.step].bind(step.config).arguments)
    found = {}
    for argument in dict.fromkeys([*arguments, *step.inputs]):
        wire = step.inputs.get(argument, argument)
        if isinstance(wire, Previous):
            found[wire.previous] = True
        else:
            found[wire.field if isinstance(wire, Converted) else wire] = False
    return found


def _arguments(target: str, files: Mapping[str, bytes]) -> list[str]:
    file, _, function = target.partition(":")
    try:
        module = ast.parse(files.get(file, b""))
    except (SyntaxError, ValueError):
        return []
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return [argument.arg for argument in node.args.args]
    return []


def _words(text: str) -> set[str]:
    return set("".join(letter if letter.isalnum() or letter == "_" else " " for letter in str(text)).split())


def _number(things: object, what: str) -> str:
    count = len(things)  # type: ignore[arg-type]
    return f"{count} {what}{'' if count == 1 else 's'}"


def _place(nodes: list[Node]) -> None:
    column: dict[str, int] = {}
    for node in nodes:
        before = [column[name] for name, previous in node.needs.items() if not previous and name in column]
        node.column = column[node.name] = 0 if node.kind == "inputs" else max(before, default=0) + 1
    last = max(node.column for node in nodes)
    rows: dict[int, int] = {}
    for node in nodes:
        if node.kind == "outputs":
            node.column = max(last, max((n.column for n in nodes if n.kind == "step"), default=0) + 1)
        node.row = rows.get(node.column, 0)
        rows[node.column] = node.row + 1


def drawing(nodes: list[Node], title: str) -> str:
    """The boxes and what goes between them, as SVG that takes its colours from the page."""
    rows = max(node.row for node in nodes) + 1
    columns = max(node.column for node in nodes) + 1
    in_column = {column: sum(node.column == column for node in nodes) for column in range(columns)}
    wide = columns * (_WIDE + _GAP_X) - _GAP_X + 2 * _EDGE
    high = rows * (_HIGH + _GAP_Y) - _GAP_Y + 2 * _EDGE + 26
    place = {}
    for node in nodes:
        indent = (rows - in_column[node.column]) * (_HIGH + _GAP_Y) / 2
        place[node.name] = (_EDGE + node.column * (_WIDE + _GAP_X), _EDGE + node.row * (_HIGH + _GAP_Y) + indent)
    parts = [
        (
            f'<svg class="ts-graph" role="img" aria-label="{escape(title)}" viewBox="0 0 {wide} {high}"'
            f' width="{wide}" height="{high}"><defs><marker id="ts-tip" viewBox="0 0 8 8" refX="7" refY="4"'
            ' markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" class="ts-tip"/></marker></defs>'
        )
    ]
    for node in nodes:
        for name, previous in node.needs.items():
            parts.append(_edge(place[name], place[node.name], previous=previous, low=high - 12))
    for node in nodes:
        x, y = place[node.name]
        parts.append(
            f'<g class="ts-node" data-kind="{node.kind}"><title>{escape(node.hint)}</title>'
            f'<rect x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}" rx="6"/>'
            f'<text x="{x + 12}" y="{y + 20}">{escape(_cut(node.name))}</text>'
            f'<text x="{x + 12}" y="{y + 36}" class="ts-below">{escape(_cut(node.below, 24))}</text></g>'
        )
    return "".join(parts) + "</svg>"


def _cut(text: str, letters: int = _LETTERS) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _edge(source: tuple[float, float], target: tuple[float, float], *, previous: bool, low: float) -> str:
    x0, y0 = source[0] + _WIDE, source[1] + _HIGH / 2
    x1, y1 = target[0], target[1] + _HIGH / 2
    kind = ' class="ts-edge ts-previous"' if previous else ' class="ts-edge"'
    if x1 > x0:
        bend = max(24.0, (x1 - x0) / 2)
        path = f"M{x0} {y0}C{x0 + bend} {y0} {x1 - bend} {y1} {x1} {y1}"
    else:
        # Back to a step further left: below all boxes.
        path = (
            f"M{x0} {y0 + 8}C{x0 + 34} {y0 + 8} {x0 + 24} {low} {x0 - 8} {low}"
            f"L{x1 + 8} {low}C{x1 - 24} {low} {x1 - 34} {y1 + 8} {x1} {y1 + 8}"
        )
    return f'<path d="{path}"{kind} marker-end="url(#ts-tip)"/>'
