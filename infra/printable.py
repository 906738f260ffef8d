"""Text that others wrote, for terminals and log files: shown, never obeyed.

An escape sequence, a line break or a mark that turns the direction of writing could make a line look like another one,
or command the terminal that shows it.
"""

import json


def printable(text: str) -> str:
    """`text` on one line; what is not printed stands there as Python writes it, with a backslash."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def json_line(value: object, indent: int | None = None) -> str:
    """JSON text, whose strings hold nothing that is not printed; whoever reads it gets the same strings back."""
    text = json.dumps(value, default=str, ensure_ascii=False, indent=indent)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
