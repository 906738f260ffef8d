"""Where a page of commands ends: newest first, equal times by id, as one opaque text."""

from typing import NamedTuple


class CommandCursor(NamedTuple):
    """The last command of a page; the next page holds what sorts below."""

    issued_ns: int
    id: str

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.issued_ns}/{self.id}"

    @classmethod
    def parse(cls, text: str) -> "CommandCursor":
        """Read a cursor.

        Raises:
            ValueError: `text` is none.
        """
        issued, slash, command_id = text.partition("/")
        digits = issued.removeprefix("-")
        if not slash or not digits.isdecimal() or len(digits) > 20 or abs(int(issued)) >= 2**63:  # noqa: PLR2004
            message = f"{text[:80]!a} is no end of a page of commands"
            raise ValueError(message)
        return cls(int(issued), command_id)
