"""Parameters that are any text: they lie among a twin's tags, under names that no tag can have."""

from collections.abc import Mapping
from typing import cast

from schemas.definition import Definition
from schemas.quantity import Parameter
from twins.renaming import is_older, sources
from twins.row_format import RowFormat

MARK = "#"


def text_key(name: str) -> str:
    """Where a parameter's text lies."""
    return MARK + name


def text_of(stored: Mapping[str, str], name: str, declared: Parameter) -> str:
    """A parameter's text; its default for a twin that never set it."""
    return stored.get(text_key(name), cast("str", declared.default))


def renamed(stored: Mapping[str, str], definition: Definition, earlier: RowFormat) -> Mapping[str, str]:
    """The same under the names of a definition, by its migration, or that of the earlier one when it goes back."""
    held = {name.removeprefix(MARK) for name in stored if name.startswith(MARK)}
    if not held:
        return stored
    back = is_older(definition.version, earlier.version)
    renamings = definition.migration.parameters, earlier.renamed_parameters
    # A text that this twin never set has its place, too: nothing else moves there.
    before = sources(definition.texts, held.union(earlier.texts), *renamings, goes_back=back)
    moved = {text_key(name) for name in {*before, *before.values()}}
    found = {key: text for key, text in stored.items() if key not in moved}
    return found | {text_key(name): stored[text_key(source)] for name, source in before.items() if source in held}


def tags_of(stored: Mapping[str, str]) -> dict[str, str]:
    """The tags alone."""
    return {name: text for name, text in stored.items() if not name.startswith(MARK)}
