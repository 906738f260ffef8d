"""Reading `twin.yaml`: every fault at once, each with its line."""

from typing import Any

import pydantic
import yaml

from schemas.definition import Definition
from schemas.errors import DefinitionError, Problem
from schemas.wiring import wiring_faults
from schemas.yaml_words import misread

FILE = "twin.yaml"

_REMEDIES = {
    "missing": "add it",
    "extra_forbidden": "remove it or mend its spelling",
}


def read_definition(text: str, file: str = FILE) -> Definition:
    """Parse and check the text of a `twin.yaml`.

    Raises:
        DefinitionError: with every fault, in file order.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        problem = Problem(file, line, "", f"no YAML: {error.problem}", "mend the syntax here or just above")
        raise DefinitionError([problem]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        message = f"no YAML: {str(error).splitlines()[0]}"
        raise DefinitionError([Problem(file, 0, "", message, "write it as UTF-8 text")]) from None
    lines: dict[str, int] = {"": 1}
    words: dict[str, yaml.ScalarNode] = {}
    try:
        problems = [
            Problem(file, lines[path], path, message, remedy) for path, message, remedy in _walk(node, "", lines, words)
        ]
    except RecursionError:
        remedy = "write out what the alias stands for"
        raise DefinitionError([Problem(file, 0, "", "an alias stands inside what it names", remedy)]) from None
    if not isinstance(raw, dict):
        problems.append(Problem(file, 1, "", "expected a mapping", "start with name:, version: and inputs:"))
        raise DefinitionError(problems)
    faults: list[tuple[str, str, str]] = []
    definition = None
    try:
        definition = Definition.model_validate(raw)
    except pydantic.ValidationError as error:
        faults = [_fault(item, words) for item in error.errors(include_url=False) if not _is_of_key(item)]
    if definition is not None:
        faults = wiring_faults(definition)
    problems += [Problem(file, _line(path, lines), path, message, remedy) for path, message, remedy in faults]
    if problems or definition is None:
        raise DefinitionError(sorted(problems, key=lambda problem: problem.line))
    return definition


def _is_of_key(item: Any) -> bool:  # noqa: ANN401
    """Whether a fault is that a key is no text; the walk through the file says so in better words."""
    return bool(item["type"] == "invalid_key" or (item["type"] == "string_type" and item["loc"][-1] == "[key]"))


def _fault(item: Any, words: dict[str, yaml.ScalarNode]) -> tuple[str, str, str]:  # noqa: ANN401
    keys = [str(key) for key in item["loc"] if not str(key).startswith("function-") and key != "[key]"]
    path = ".".join(keys)
    if item["type"] == "string_type" and path in words and (fault := misread(words[path])):
        return path, *fault
    message = item["msg"].removeprefix("Value error, ")
    return path, message, _REMEDIES.get(item["type"], "")


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
