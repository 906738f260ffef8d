"""Reading `twin.yaml`: every fault at once, each with its line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pydantic
import yaml

from schemas.definition import Definition
from schemas.errors import DefinitionError, Problem
from schemas.salvage import salvage
from schemas.wiring import wiring_faults
from schemas.yaml_words import misread

FILE = "twin.yaml"

_REMEDIES = {
    "missing": "add it",
    "extra_forbidden": "remove it or mend its spelling",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read of a `twin.yaml`.

    Attributes:
        problems: Every fault, in file order.
        definition: With stand-ins for what is at fault, if there are any; None when too little is left.
        replaced: Key paths, such as `pipeline.0`, of the stand-ins.
        lines: Line of every key path.
    """

    problems: list[Problem]
    definition: Definition | None
    replaced: frozenset[str]
    lines: dict[str, int]

    def line(self, path: str) -> int:
        """Line of a key path, or of the nearest that contains it."""
        return _line(path, self.lines)


def read_definition(text: str, file: str = FILE) -> Definition:
    """Parse and check the text of a `twin.yaml`.

    Raises:
        DefinitionError: with every fault, in file order.
    """
    reading = examine(text, file)
    if reading.problems or reading.definition is None:
        raise DefinitionError(reading.problems)
    return reading.definition


def examine(text: str, file: str = FILE) -> Reading:
    """Parse and check the text of a `twin.yaml` as far as possible; faults of one part hide none of another."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        problem = Problem(file, line, "", f"no YAML: {error.problem}", "mend the syntax here or just above")
        return Reading([problem], None, frozenset(), {})
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        message = f"no YAML: {str(error).splitlines()[0]}"
        return Reading([Problem(file, 0, "", message, "write it as UTF-8 text")], None, frozenset(), {})
    lines: dict[str, int] = {"": 1}
    words: dict[str, yaml.ScalarNode] = {}
    try:
        problems = [
            Problem(file, lines[path], path, message, remedy) for path, message, remedy in _walk(node, "", lines, words)
        ]
    except RecursionError:
        remedy = "write out what the alias stands for"
        problem = Problem(file, 0, "", "an alias stands inside what it names", remedy)
        return Reading([problem], None, frozenset(), {})
    if not isinstance(raw, dict):
        problems.append(Problem(file, 1, "", "expected a mapping", "start with name:, version: and inputs:"))
        return Reading(problems, None, frozenset(), lines)
    faults: list[tuple[str, str, str]] = []
    replaced: set[str] = set()
    definition: Definition | None
    try:
        definition = Definition.model_validate(raw)
    except pydantic.ValidationError as error:
        found = error.errors(include_url=False)
        faults = [_fault(item, raw, words) for item in found if not _is_of_key(item)]
        definition, replaced = salvage(raw, [item["loc"] for item in found])
    if definition is not None:
        faults += wiring_faults(definition)
    problems += [Problem(file, _line(path, lines), path, message, remedy) for path, message, remedy in faults]
    problems.sort(key=lambda problem: problem.line)
    return Reading(problems, definition, frozenset(replaced), lines)


def _is_of_key(item: Any) -> bool:  # noqa: ANN401
    """Whether a fault is that a key is no text; the walk through the file says so in better words."""
    return bool(item["type"] == "invalid_key" or (item["type"] == "string_type" and item["loc"][-1] == "[key]"))


def _fault(item: Any, raw: Any, words: dict[str, yaml.ScalarNode]) -> tuple[str, str, str]:  # noqa: ANN401
    path = ".".join(_keys(item["loc"], raw))
    if item["type"] == "string_type" and path in words and (fault := misread(words[path])):
        return path, *fault
    message = item["msg"].removeprefix("Value error, ")
    return path, message, _REMEDIES.get(item["type"], "")


def _keys(place: Sequence[int | str], raw: Any) -> list[str]:  # noqa: ANN401
    """The keys of a place in the file: pydantic also names the kind of what it tried there."""
    keys = []
    for step, key in enumerate(place):
        here = (isinstance(raw, dict) and key in raw) or (isinstance(raw, list) and isinstance(key, int))
        # What is missing is not there, but its name is to be told.
        if here or (step == len(place) - 1 and isinstance(raw, dict) and key != "[key]"):
            keys.append(str(key))
            raw = raw[key] if here else None
    return keys


def _walk(
    node: yaml.Node | None, path: str, lines: dict[str, int], words: dict[str, yaml.ScalarNode]
) -> list[tuple[str, str, str]]:
    """Note the line of every key path, and the plain values; return the faults of keys."""
    faults: list[tuple[str, str, str]] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            below = f"{path}.{key.value}" if path else str(key.value)
            lines[below] = key.start_mark.line + 1
            if below in seen:
                faults.append((below, "key given twice", "remove one of the two"))
            elif isinstance(key, yaml.ScalarNode) and (fault := misread(key)):
                faults.append((below, *fault))
            seen.add(below)
            faults += _walk(value, below, lines, words)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            below = f"{path}.{index}"
            lines[below] = value.start_mark.line + 1
            faults += _walk(value, below, lines, words)
    elif isinstance(node, yaml.ScalarNode):
        words[path] = node
    return faults


def _line(path: str, lines: dict[str, int]) -> int:
    while path not in lines and path:
        path = path.rpartition(".")[0]
    return lines.get(path, 1)
