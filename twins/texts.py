"""Parameters that are any text: they lie among a twin's tags, under names that no tag can have."""

from collections.abc import Mapping
from typing import cast

from schemas.quantity import Parameter

MARK = "#"


def text_key(name: str) -> str:
    """Where a parameter's text lies."""
    return MARK + name


def text_of(stored: Mapping[str, str], name: str, declared: Parameter) -> str:
    """A parameter's text; its default for a twin that never set it."""
    return stored.get(text_key(name), cast("str", declared.default))


def tags_of(stored: Mapping[str, str]) -> dict[str, str]:
    """The tags alone."""
    return {name: text for name, text in stored.items() if not name.startswith(MARK)}
