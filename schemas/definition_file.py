"""Reading `twin.yaml`: every fault at once, each with its line."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic

from schemas.all_faults import AllFaults, all_faults
from schemas.definition import Definition, three_numbers
from schemas.errors import DefinitionError, Problem
from schemas.fault_texts import told
from schemas.left_out import DEFINITION_FILE
from schemas.salvage import salvage
from schemas.wiring import wiring_faults
from schemas.yaml_text import YamlText, line_of, read_yaml
from schemas.yaml_words import misread

FILE = DEFINITION_FILE


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
        every = all_faults(error, raw, Definition, Definition.model_validate)
        faults = [
            _fault(place, kind, message, remedy, found)
            for place, kind, message, remedy in told(every.items, Definition)
            if not _is_of_key(place, kind)
        ]
        definition, replaced = _salvaged(raw, every)
    if definition is not None:
        faults += [fault for fault in wiring_faults(definition) if not _is_below(fault[0], replaced)]
    # A key that is no text is no name either; which of two values counts is not known.
    of_keys = {fault.path for fault in found.faults}
    problems += [
        Problem(file, found.line(path), path, message, remedy)
        for path, message, remedy in faults
        if path not in of_keys
    ]
    problems.sort(key=lambda problem: problem.line)
    return Reading(problems, definition, frozenset(replaced), found.lines)


def _salvaged(raw: dict[str, Any], every: AllFaults) -> tuple[Definition | None, set[str]]:
    """What can still be checked: of outputs, on which nothing else depends, all that is not at fault itself."""
    places = [item["loc"] for item in every.items]
    if every.mended is not None and isinstance(every.mended.get("outputs"), dict):
        others = [place for place in places if place[:1] != ("outputs",)]
        definition, replaced = salvage(raw | {"outputs": every.mended["outputs"]}, others)
        if definition is not None:
            outputs = (place for place in every.set_aside if place[0] == "outputs")
            return definition, replaced | {".".join(map(str, place)) for place in outputs}
    return salvage(raw, places)


def _is_below(path: str, above: Collection[str]) -> bool:
    """Whether a key path is, or is below, that of a stand-in among the outputs."""
    return any(path == one or path.startswith(f"{one}.") for one in above if one.startswith("outputs."))


def _is_of_key(place: Sequence[int | str], kind: str) -> bool:
    """Whether a fault is that a key is no text; the walk through the file says so in better words."""
    return kind == "invalid_key" or (kind == "string_type" and place[-1] == "[key]")


def _fault(place: Sequence[int | str], kind: str, message: str, remedy: str, found: YamlText) -> tuple[str, str, str]:
    path = ".".join(_keys(place, found.content))
    if kind == "string_type" and path in found.words and (fault := misread(found.words[path])):
        word = found.words[path].value
        return path, fault[0], three_numbers(word) if path == "version" else fault[1]
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
