"""The steps of a pipeline in columns, by what they need. Pure."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.definition import Definition
from schemas.step import Converted, Previous, Step
from twins.functions.registry import BUILT_INS


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
    for node in nodes:
        if node.kind == "outputs":
            node.column = max(last, max((n.column for n in nodes if n.kind == "step"), default=0) + 1)
