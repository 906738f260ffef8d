"""Grammar of names: types, projects, twin ids and fields."""

import re
import unicodedata
from dataclasses import dataclass

from schemas.errors import InvalidNameError

DEFAULT_PROJECT = "main"

_TYPE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TWIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
FIELD_PATTERN = "^[A-Za-z][A-Za-z0-9_]*$"
_FIELD = re.compile(FIELD_PATTERN.strip("^$"))
_FIELD_LENGTH = 128

RESERVED_FIELDS = frozenset({"time", "seq", "boot"})

RESERVED_EVENTS = frozenset(
    {
        "command_acknowledged",
        "command_expired",
        "command_failed",
        "command_refused",
        "command_sent",
        "quarantined",
        "released",
        "request_accepted",
        "request_rejected",
    }
)
"""Events that workers and bridges themselves write; readers act on them, so that no type may declare one."""


@dataclass(frozen=True, slots=True)
class TypeName:
    """A twin type inside its project.

    Attributes:
        project: `main` unless stated.
        type: The type's own name, without its project.
    """

    project: str
    type: str

    def __str__(self) -> str:
        """Return the qualified name: the project is a prefix only when it is not `main`."""
        return self.type if self.project == DEFAULT_PROJECT else f"{self.project}-{self.type}"


def parse_type(text: str) -> TypeName:
    """Read a qualified type name, `{type}` or `{project}-{type}`.

    Raises:
        InvalidNameError: `text` is outside the grammar.
    """
    project, dash, name = text.rpartition("-")
    if not dash:
        project, name = DEFAULT_PROJECT, text
    if not (_TYPE.fullmatch(project) and _TYPE.fullmatch(name)) or (dash and project == DEFAULT_PROJECT):
        message = (
            f"type {_shown(text)} must be of small letters, digits and underscores, at most 40, beginning with a"
            f" letter{'; with a project other than main before a dash' if dash else ''}"
        )
        raise InvalidNameError(message, _like(text.lower(), 40))
    return TypeName(project, name)


def check_twin_id(text: str) -> str:
    """Return `text` if it is a twin id.

    Raises:
        InvalidNameError: `text` is outside the grammar.
    """
    if not _TWIN.fullmatch(text):
        message = (
            f"twin id {_shown(text)} must be of letters, digits, - and _, at most 64, beginning with a letter or digit"
        )
        raise InvalidNameError(message)
    return text


def check_field(text: str, what: str = "field") -> str:
    """Return `text` if it can name a field, parameter, request, command or event.

    Raises:
        InvalidNameError: `text` is outside the grammar.
    """
    if len(text) > _FIELD_LENGTH or not _FIELD.fullmatch(text):
        message = (
            f"{what} {_shown(text)} must be of letters (a to z), digits and underscores, at most {_FIELD_LENGTH},"
            " beginning with a letter"
        )
        raise InvalidNameError(message, _like(text, _FIELD_LENGTH))
    return text


def _like(text: str, length: int) -> str:
    """What to do about a text that is no name: write one like it."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()
    words = re.sub("[^A-Za-z0-9]+", "_", plain).lstrip("_0123456789")[:length].rstrip("_")
    return f"write it as {words}" if words else "choose a name such as level_1"


def _shown(text: str) -> str:
    """Quote hostile text for a message: escaped, and cut to a readable length."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")  # noqa: PLR2004
