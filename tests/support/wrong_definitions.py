"""Right definitions made wrong in every place: texts, with the line at which each must be found wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import yaml

from schemas.definition import Definition
from schemas.fault_texts import keys_at


class Place(NamedTuple):
    """A value of a YAML text.

    Attributes:
        path: Its keys and indices.
        key: Node of its key; None in a list.
        value: Node of the value.
    """

    path: tuple[str | int, ...]
    key: yaml.ScalarNode | None
    value: yaml.Node

    @property
    def line(self) -> int:
        """Line at which a fault of it is told."""
        return int((self.key or self.value).start_mark.line) + 1

    @property
    def name(self) -> str:
        """Dotted key path."""
        return ".".join(map(str, self.path))

    @property
    def is_name(self) -> bool:
        """Whether its key is one that the author chose."""
        return "config" not in self.path and not keys_at(Definition, self.path[:-1])


@dataclass(frozen=True)
class Wrong:
    """A text with one fault.

    Attributes:
        what: What was done to it, and where.
        line: Where it must be found.
        text: The text.
    """

    what: str
    line: int
    text: str


def places(text: str) -> list[Place]:
    """Every value of a text."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    return list(_below(node, ())) if node is not None else []


def _below(node: yaml.Node, path: tuple[str | int, ...]) -> Iterator[Place]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield Place((*path, key.value), key, value)
            yield from _below(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield Place((*path, index), None, value)
            yield from _below(value, (*path, index))


def _with(text: str, node: yaml.Node, replacement: str) -> str:
    end = node.end_mark.index
    # The end of a block is where the next thing begins.
    kept = len(text[:end].rstrip()) if text[:end].endswith((" ", "\n")) else end
    return text[: node.start_mark.index] + replacement + text[kept:]


def wrong_types(text: str) -> Iterator[Wrong]:
    """Every value as one of another type."""
    for place in places(text):
        other = "{no_such: [1]}" if isinstance(place.value, yaml.ScalarNode | yaml.SequenceNode) else "7"
        block = isinstance(place.value, yaml.CollectionNode) and not place.value.flow_style
        if block and place.key is not None:
            start = text[: place.key.end_mark.index]
            after = text[len(text[: place.value.end_mark.index].rstrip()) :]
            yield Wrong(f"{place.name} of another type", place.line, f"{start}: {other}{after}")
        else:
            yield Wrong(f"{place.name} of another type", place.line, _with(text, place.value, other))


def unknown_keys(text: str) -> Iterator[Wrong]:
    """Every key that is not the author's choice, misspelt."""
    for place in places(text):
        # What a state machine gives is named by the author, too.
        if place.key is not None and not place.is_name and "values" not in place.path:
            yield Wrong(f"{place.name} misspelt", place.line, _with(text, place.key, f"{place.key.value}zz"))


def bad_names(text: str) -> Iterator[Wrong]:
    """Every name that the author chose, outside of the grammar."""
    for place in places(text):
        if place.key is not None and place.is_name:
            yield Wrong(f"{place.name} no name", place.line, _with(text, place.key, f"{place.key.value}-1"))


def twice(text: str) -> Iterator[Wrong]:
    """Every key of the text given twice."""
    for place in places(text):
        if place.key is not None:
            index, key = place.key.start_mark.index, place.key
            flow = (
                key.start_mark.line == place.value.start_mark.line
                and text[: key.start_mark.index].rstrip()[-1:] in "{,"
            )
            between = ", " if flow else "\n" + " " * key.start_mark.column
            line = place.line + (0 if flow else 1)
            yield Wrong(f"{place.name} twice", line, f"{text[:index]}{key.value}: 1{between}{text[index:]}")


def unknown_fields(text: str) -> Iterator[Wrong]:
    """Every use of a field as one of a field that is not there."""
    for place in places(text):
        used = place.path[0] == "outputs" or place.path[2:3] in {("inputs",), ("sets",)}
        said = place.path[-1] in {"severity", "edge", "type", "unit", "range", "to", "description"}
        tag = place.path[:3] == ("outputs", "timeseries", "tags")
        text_node = isinstance(place.value, yaml.ScalarNode) and place.value.tag.endswith(":str")
        if used and text_node and not said and not tag and place.path[0] != "inputs":
            yield Wrong(f"{place.name} unknown", place.line, _with(text, place.value, "no_such_field"))


def bad_units(text: str) -> Iterator[Wrong]:
    """Every unit as one that nobody knows."""
    for place in places(text):
        if place.path[-1] == "unit":
            yield Wrong(f"{place.name} unknown", place.line, _with(text, place.value, "m**zz"))


def reversed_ranges(text: str) -> Iterator[Wrong]:
    """Every range the wrong way round."""
    for place in places(text):
        if place.path[-1] == "range":
            yield Wrong(f"{place.name} reversed", place.line, _with(text, place.value, "[2, 1]"))


KINDS = (wrong_types, unknown_keys, bad_names, twice, unknown_fields, bad_units, reversed_ranges)
