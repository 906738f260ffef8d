"""Parameters that are any text: they lie among a twin's tags, under names that no tag can have."""

from collections.abc import Mapping
from typing import cast

from schemas.definition import Definition
from schemas.quantity import Parameter

MARK = "#"


def text_key(name: str) -> str:
    """Where a parameter's text lies."""
    return MARK + name


def text_of(stored: Mapping[str, str], name: str, declared: Parameter) -> str:
    """A parameter's text; its default for a twin that never set it."""
    return stored.get(text_key(name), cast("str", declared.default))


def renamed(stored: dict[str, str], definition: Definition) -> dict[str, str]:
    """The same under the names that a definition's migration gives."""
    found = dict(stored)
    for name, before in definition.migration.parameters.items():
        if name in definition.texts and text_key(before) in found:
            found.setdefault(text_key(name), found[text_key(before)])
            if before not in definition.texts:
                del found[text_key(before)]
    return found


def tags_of(stored: Mapping[str, str]) -> dict[str, str]:
    """The tags alone."""
    return {name: text for name, text in stored.items() if not name.startswith(MARK)}
