"""Makes the folder of a new twin type."""

import json
from pathlib import Path

import yaml

from infra.authoring.template import FILES
from schemas.errors import SetupError
from twins.definition_schema import schema_text

SCHEMA_FILE = ".twin.schema.json"


def create(name: str, parent: Path) -> list[str]:
    """Write `parent/name/`; returns the names of its files.

    Args:
        name: Of the type, within its grammar.
        parent: Where the folder is made.

    Raises:
        SetupError: there is something of that name already, or it can't be written.
    """
    folder = parent / name
    # A name such as `on` or `null` is no text in YAML unless it is quoted.
    quoted = name if yaml.safe_load(name) == name else json.dumps(name)
    title = name.replace("_", " ").capitalize()
    files = {
        _filled(file, NAME=name): _filled(text, QUOTED=quoted, TITLE=title, NAME=name) for file, text in FILES.items()
    }
    # A copy of its own: editors find it wherever the folder goes, without a network.
    files[SCHEMA_FILE] = schema_text()
    try:
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
    except FileExistsError:
        message = f"{name} is there already: choose another name, or move it away"
        raise SetupError(message) from None
    except OSError as error:
        message = f"{folder} can't be written: {error.strerror}"
        raise SetupError(message) from None
    return list(files)


def _filled(text: str, **words: str) -> str:
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text
