"""Which files of a twin type's folder no step reads, so that they are not deployed."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

DEFINITION_FILE = "twin.yaml"

_NOT_READ = ("__pycache__", "*.pyc", "*.md", "*.svg", "test_*.py", "*_test.py", "conftest.py")
"""What no step reads, but people, pytest and Python itself: a change of theirs is no other version."""

# From where a path begins only: a long text without one must not be looked through from each of its letters.
_FUNCTION = re.compile(rb"(?<![A-Za-z0-9_/])([A-Za-z0-9_/]++\.py):[A-Za-z_]")
"""Where a definition names a function of a file."""


def is_left_out(folder: Path, relative: Path) -> bool:
    """Whether a path in a twin type's folder is not deployed: it is hidden, or something that no step reads."""
    return left_out(relative, definition_of(folder))


def left_out(relative: Path, definition: bytes) -> bool:
    """The same, with the text of the folder's definition."""
    # A definition may take its steps from a file of any name.
    named = {part for path in _FUNCTION.findall(definition) for part in path.decode().split("/")}
    return any(
        name.startswith(".") or (any(fnmatchcase(name, unread) for unread in _NOT_READ) and name not in named)
        for name in relative.parts
    )


def definition_of(folder: Path) -> bytes:
    """Text of a folder's definition, empty where there is none."""
    try:
        return (folder / DEFINITION_FILE).read_bytes()
    except OSError:  # whoever reads all files says so
        return b""
