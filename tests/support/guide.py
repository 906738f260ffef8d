"""The blocks of a Markdown page, in order, as a reader would carry them out."""

import re
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "write-a-twin.md"
_BLOCK = re.compile(
    r"(?:`(?P<file>[\w./-]+)`:\n\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        line: Of the page.
        language: What stands behind the fence.
        file: The file that it is to be written to, `""` when it is none.
        text: Its lines.
    """

    line: int
    language: str
    file: str
    text: str


def blocks(page: Path = PAGE) -> list[Block]:
    """Every block of a page."""
    text = page.read_text()
    return [
        Block(text.count("\n", 0, found.start("language")) + 1, found["language"], found["file"] or "", found["text"])
        for found in _BLOCK.finditer(text)
    ]


def said(block: Block) -> list[str]:
    """What a block of Python says that it prints."""
    return [line.partition("  # ")[2] for line in block.text.splitlines() if line.startswith("print(")]
