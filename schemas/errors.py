"""Errors that a caller is expected to handle.

TwinstreamError
├── InvalidNameError          a type, twin id or field outside the grammar
├── PayloadError              telemetry that can't be used; carries a dead-letter reason
├── DefinitionError           a twin definition with faults; carries all of them
└── SetupError                the surroundings are wrong; the message says what to do
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schemas.reasons import Reason


class TwinstreamError(Exception):
    """Base of every error that this project raises on purpose."""


class InvalidNameError(TwinstreamError, ValueError):
    """A name outside the grammar of `schemas.names`.

    Attributes:
        remedy: A name within it that is like it.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class PayloadError(TwinstreamError, ValueError):
    """A payload that can't become telemetry.

    Attributes:
        reason: Dead-letter reason, one of the fixed list.
        detail: What was wrong, for people.
        fields: What it says all the same, None where that can't be told.
    """

    def __init__(self, reason: "Reason", detail: str, fields: "Mapping[str, Any] | None" = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.fields = fields


class SetupError(TwinstreamError, RuntimeError):
    """Something around us prevents the work; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a twin type's folder.

    Attributes:
        file: Path relative to the folder, such as `twin.yaml`.
        line: 1-based, 0 when no line can be named.
        path: Dotted key path inside the file, `""` for the file itself.
        message: What is wrong.
        remedy: What to do about it.
    """

    file: str
    line: int
    path: str
    message: str
    remedy: str

    def __str__(self) -> str:
        """Return `FILE:LINE: key.path: message (remedy)`."""
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        path = f"{self.path}: " if self.path else ""
        remedy = f" ({self.remedy})" if self.remedy else ""
        # Whatever stands in a file, its fault is one line.
        text = f"{where}{path}{self.message}{remedy}"
        return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


class DefinitionError(TwinstreamError, ValueError):
    """A twin definition with one or more faults.

    Attributes:
        problems: Every fault that was found, in file order.
    """

    def __init__(self, problems: "Sequence[Problem]") -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
