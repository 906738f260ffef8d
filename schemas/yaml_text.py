"""Reading YAML so that whatever is wrong with it has a line: the values, and where each of them stands."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from schemas.yaml_words import misread

SIZE_LIMIT = 1024 * 1024
_NODE_LIMIT = 100_000
_SYNTAX = (
    ("'\\t'", "a tab where only spaces may be", "write spaces instead of the tab, also to indent"),
    (
        "expected <block end>, but found '<block mapping start>'",
        "the indentation does not fit to what is above",
        "let the keys of one mapping begin in the same column",
    ),
    (
        "mapping values are not allowed here",
        "a colon where none may be",
        "quote a text that holds a colon; let the keys of one mapping begin in the same column",
    ),
    ("that cannot start any token", "", "quote a text that begins so"),
)
"""What YAML's own words hold, what is said instead, and what to do about it; the first that fits."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong at one place.

    Attributes:
        line: 1-based.
        path: Dotted key path, `""` for the text as a whole.
    """

    line: int
    path: str
    message: str
    remedy: str


@dataclass(slots=True)
class YamlText:
    """What a text holds.

    Attributes:
        content: Its values; None when it is no YAML.
        faults: Of its syntax and its keys.
        lines: Line of every key path.
        words: The plain values by key path.
        nodes: How many values there are, aliases written out.
    """

    content: Any = None
    faults: list[Fault] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=lambda: {"": 1})
    words: dict[str, yaml.ScalarNode] = field(default_factory=dict)
    nodes: int = 0

    def line(self, path: str) -> int:
        """Line of a key path, or of the nearest that contains it."""
        return line_of(path, self.lines)


def line_of(path: str, lines: Mapping[str, int]) -> int:
    """Line of a key path, or of the nearest that contains it; the first if there is none."""
    while path not in lines and path:
        path = path.rpartition(".")[0]
    return lines.get(path, 1)


def read_yaml(text: str) -> YamlText:
    """Read a text; whatever it holds, what is wrong with it is told."""
    found = YamlText()
    if len(text) > SIZE_LIMIT:
        found.faults.append(Fault(1, "", f"longer than {SIZE_LIMIT} characters", "keep tables of data out of it"))
        return found
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _walk(node, "", found)
            found.content = _value(node, found)
    except yaml.MarkedYAMLError as error:
        said, remedy = f"no YAML: {error.problem or error.context}", "mend the syntax here or just above"
        for sign, words, way_out in _SYNTAX:
            if sign in str(error.problem):
                said, remedy = f"no YAML: {words or error.problem}", way_out
                break
        found.faults.append(Fault(_syntax_line(error, text), "", said, remedy))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        said = f"no YAML: the character #x{ord(text[error.position]):04x} is not permitted"
        found.faults.append(Fault(line, "", said, "remove it; write plain UTF-8 text"))
    except RecursionError:
        found.faults.append(Fault(1, "", "nested too deep, or an alias inside what it names", "write it out flat"))
    except _TooLargeError:
        found.faults.append(Fault(1, "", "too much stands in it once aliases are written out", "use fewer aliases"))
    return found


def _syntax_line(error: yaml.MarkedYAMLError, text: str) -> int:
    """Where a fault of syntax most probably is: what never ends is noticed only further down."""
    mark, context = error.problem_mark, error.context_mark
    if mark is not None and context is not None and context.line < mark.line:
        opened = text[context.index :].partition("\n")[0].partition("#")[0].strip()
        never_ends = str(error.context).startswith("while scanning a")
        # A bracket at the end of its line is meant to be closed on another.
        never_ends |= str(error.context).startswith("while parsing a flow") and opened not in {"{", "["}
        mark = context if never_ends else mark
    mark = mark or context
    return int(mark.line) + 1 if mark else 1


class _TooLargeError(Exception):
    """Aliases of aliases."""


def _value(node: yaml.Node, found: YamlText) -> Any:  # noqa: ANN401 - any YAML
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    except ValueError:
        # A value that Python can't make, such as the 30th of February: find it by itself.
        for path, word in found.words.items():
            try:
                yaml.SafeLoader("").construct_object(word)
            except ValueError as error:
                shown = word.value if len(word.value) <= 40 else f"{word.value[:40]}…"  # noqa: PLR2004 - a readable length
                said = f"{shown} can't be read: {str(error).partition(';')[0]}"
                found.faults.append(Fault(word.start_mark.line + 1, path, said, "write another value, or quote it"))
        return None


def _walk(node: yaml.Node, path: str, found: YamlText) -> None:
    """Note lines and plain values below a node, and the faults of keys."""
    found.nodes += 1
    if found.nodes > _NODE_LIMIT:
        raise _TooLargeError
    if isinstance(node, yaml.MappingNode):
        seen: dict[Hashable, yaml.Node] = {}
        node.value = [(key, value) for key, value in node.value if _walk_pair(key, value, path, seen, found)]
    elif isinstance(node, yaml.SequenceNode):
        _walk_items(node, 0, path, found)
    elif isinstance(node, yaml.ScalarNode):
        found.words[path] = node


def _walk_items(node: yaml.SequenceNode, first: int, path: str, found: YamlText) -> None:
    for index, value in enumerate(node.value, first):
        below = f"{path}.{index}".lstrip(".")
        found.lines[below] = value.start_mark.line + 1
        _walk(value, below, found)


def _walk_pair(key: yaml.Node, value: yaml.Node, path: str, seen: dict[Hashable, yaml.Node], found: YamlText) -> bool:
    """Walk a key and its value; False where the value was added to that of the same key before."""
    line = key.start_mark.line + 1
    if not isinstance(key, yaml.ScalarNode):
        return True  # the loader refuses it
    if key.tag == "tag:yaml.org,2002:merge":
        # What is merged in counts where it stands, unless the mapping says it itself.
        for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            inner = YamlText(nodes=found.nodes)
            _walk(merged, path, inner)
            found.nodes = inner.nodes
            found.lines = inner.lines | found.lines
            found.words = inner.words | found.words
            found.faults += inner.faults
        return True
    below = f"{path}.{key.value}" if path else key.value
    earlier = seen.setdefault(key.value, value)
    if earlier is not value:
        first = found.lines[below]
        found.faults.append(Fault(line, below, f"key given twice, first in line {first}", "remove one of the two"))
        if isinstance(earlier, yaml.MappingNode) and isinstance(value, yaml.MappingNode):
            # Together they are what was most probably meant: what is missing in one is no fault of its own.
            _walk(value, below, found)
            _add(value, earlier)
            return False
        if isinstance(earlier, yaml.SequenceNode) and isinstance(value, yaml.SequenceNode):
            _walk_items(value, len(earlier.value), below, found)
            earlier.value += value.value
            return False
    elif fault := misread(key):
        named = fault[1] if key.value[:1].isalpha() else "write a name that begins with a letter"
        if key.value.isdigit() and isinstance(value, yaml.ScalarNode) and not value.value:
            named = "write a point in a decimal number, not a comma"
        found.faults.append(Fault(line, below, fault[0], named))
        # Read on as if it were quoted: it is a name wherever else it stands.
        key.tag = "tag:yaml.org,2002:str"
    found.lines[below] = line
    _walk(value, below, found)
    return True


def _add(more: yaml.MappingNode, node: yaml.MappingNode) -> None:
    """Add the keys of one mapping to another; of one key that both have, the later counts."""
    places = {key.value: place for place, (key, _) in enumerate(node.value) if isinstance(key, yaml.ScalarNode)}
    for key, value in more.value:
        if not isinstance(key, yaml.ScalarNode) or key.value not in places:
            node.value.append((key, value))
            continue
        _, earlier = node.value[places[key.value]]
        if isinstance(earlier, yaml.MappingNode) and isinstance(value, yaml.MappingNode):
            _add(value, earlier)
        else:
            node.value[places[key.value]] = (key, value)
