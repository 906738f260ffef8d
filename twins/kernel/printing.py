"""Where what steps print goes: to standard error, and only so much of it; standard output is no step's."""

import io
import sys

_LIMIT_CHARS = 64 * 1024


class Printed(io.TextIOBase):
    """Passes text on until it is too much for a log."""

    def __init__(self, limit_chars: int = _LIMIT_CHARS) -> None:
        self._left = limit_chars

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Pass on what is left to be passed on; of the rest nobody is told more than that there is one."""
        if self._left > 0:
            sys.stderr.write(text[: self._left])
            self._left -= len(text)
            if self._left <= 0:
                sys.stderr.write("\n… steps print more than is shown\n")
        return len(text)


PRINTED = Printed()
"""That of this process."""
