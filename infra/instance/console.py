"""What a starting and running instance says: lines for people, or JSON lines for machines."""

import sys
from typing import TextIO

from infra.masking import Masker
from infra.printable import json_line, printable


class Console:
    """Writes to standard output, one line at a time.

    Args:
        as_json: One JSON object a line, with `event` and what belongs to it.
        masker: Keeps secrets in.
        stream: Replaces standard output.
    """

    def __init__(self, *, as_json: bool = False, masker: Masker | None = None, stream: TextIO | None = None) -> None:
        self._as_json = as_json
        self._masker = masker or Masker()
        self._stream = stream or sys.stdout

    def step(self, text: str) -> None:
        """Progress."""
        self._write("progress", text, text=text)

    def tell(self, text: str) -> None:
        """Something happened to a child."""
        self._write("report", f"! {text}", text=text)

    def say(self, line: str) -> None:
        """A line that a child said."""
        self._write("line", line, text=line)

    def url(self, name: str, url: str) -> None:
        """Where something is to be found."""
        self._write("url", f"  {name:<12} {url}", name=name, url=url)

    def ready(self, text: str, **values: object) -> None:
        """The last line of the start."""
        self._write("ready", text, text=text, **values)

    def _write(self, event: str, line: str, **values: object) -> None:
        if self._as_json:
            line = json_line({"event": event} | self._masker.value(values))
        self._stream.write(printable(self._masker.text(line)) + "\n")
        self._stream.flush()
