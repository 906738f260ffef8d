"""Reading `twin.yaml`: every fault at once, each with its line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pydantic

from schemas.definition import Definition
from schemas.errors import DefinitionError, Problem
from schemas.fault_texts import told
from schemas.salvage import salvage
from schemas.wiring import wiring_faults
from schemas.yaml_text import YamlText, line_of, read_yaml
from schemas.yaml_words import misread

FILE = "twin.yaml"


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
        return line_of(path, self.lines)


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
    found = read_yaml(text)
    problems = [Problem(file, fault.line, fault.path, fault.message, fault.remedy) for fault in found.faults]
    raw = found.content
    if not isinstance(raw, dict):
        if not problems:
            problems.append(Problem(file, 1, "", "expected a mapping", "start with name:, version: and inputs:"))
        return Reading(problems, None, frozenset(), found.lines)
    faults: list[tuple[str, str, str]] = []
    replaced: set[str] = set()
    definition: Definition | None
    try:
        definition = Definition.model_validate(raw)
    except pydantic.ValidationError as error:
        items = told(error, Definition)
        faults = [
            _fault(place, kind, message, remedy, found)
            for place, kind, message, remedy in items
            if not _is_of_key(place, kind)
        ]
        definition, replaced = salvage(raw, [item["loc"] for item in error.errors(include_url=False)])
    if definition is not None:
        faults += wiring_faults(definition)
    problems += [Problem(file, found.line(path), path, message, remedy) for path, message, remedy in faults]
    problems.sort(key=lambda problem: problem.line)
    return Reading(problems, definition, frozenset(replaced), found.lines)


def _is_of_key(place: Sequence[int | str], kind: str) -> bool:
    """Whether a fault is that a key is no text; the walk through the file says so in better words."""
    return kind == "invalid_key" or (kind == "string_type" and place[-1] == "[key]")


def _fault(place: Sequence[int | str], kind: str, message: str, remedy: str, found: YamlText) -> tuple[str, str, str]:
    path = ".".join(_keys(place, found.content))
    if kind == "string_type" and path in found.words and (fault := misread(found.words[path])):
        return path, *fault
    return path, message, remedy


def _keys(place: Sequence[int | str], raw: Any) -> list[str]:  # noqa: ANN401
    """The keys of a place in the file: pydantic also names the kind of what it tried there."""
    keys = []
    for step, key in enumerate(place):
        here = (isinstance(raw, dict) and key in raw) or (isinstance(raw, list) and key in range(len(raw)))
        # What is missing is not there, but its name is to be told.
        if here or (step == len(place) - 1 and isinstance(raw, dict | list) and key != "[key]"):
            keys.append(str(key))
            raw = raw[key] if here else None
    return keys
