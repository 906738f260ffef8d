"""`KEY=VALUE` words of a command line."""

import json
from typing import Any

import typer


def parse_values(words: list[str]) -> dict[str, Any]:
    """The values as JSON if they are any, else as text.

    Raises:
        typer.BadParameter: a word without `=`.
    """
    found: dict[str, Any] = {}
    for key, text in pairs(words).items():
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


def pairs(words: list[str]) -> dict[str, str]:
    """The values as text.

    Raises:
        typer.BadParameter: a word without `=`.
    """
    found = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            message = f"{word!r} is no KEY=VALUE"
            raise typer.BadParameter(message)
        found[key] = text
    return found
