"""What a class says about itself and its attributes in its docstring, for schemas and references made from it."""

import inspect
import re

_SECTION = re.compile(r"^(Attributes|Args|Returns|Raises):$", re.MULTILINE)


def summary(text: str) -> str:
    """A docstring without its sections, its paragraphs unwrapped."""
    prose = _SECTION.split(inspect.cleandoc(text))[0].strip()
    return "\n\n".join(" ".join(part.split()) for part in prose.split("\n\n"))


def section(text: str, name: str) -> dict[str, str]:
    """The items of a section such as `Attributes`: name to text, unwrapped."""
    parts = _SECTION.split(inspect.cleandoc(text))
    found: dict[str, str] = {}
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        if title != name:
            continue
        # A section ends where the indentation does.
        block = re.split(r"\n\n(?=\S)", inspect.cleandoc(f"\n{body}"))[0]
        for item in re.split(r"\n(?=\S)", block):
            key, colon, said = item.partition(":")
            if colon:
                found[key.strip()] = " ".join(said.split())
    return found


def attributes(cls: type) -> dict[str, str]:
    """What the docstrings of a class and of those it extends say about its attributes."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        found |= section(one.__doc__ or "", "Attributes")
    return found
