"""What an author's code prints in its process: into the log, so much of it in a minute."""

import threading
from collections.abc import Callable
from typing import IO

import structlog

from schemas.clock import Clock, SystemClock

log = structlog.get_logger(__name__)

LIMIT_BYTES = 64 * 1024
"""In a minute; the rest is counted."""

_MINUTE_S = 60.0
_LINE_BYTES = 4096


def pass_on(output: IO[bytes], type_name: str, told: Callable[[str], None] | None = None) -> threading.Thread:
    """Log the lines of an output until it ends, in a thread."""
    printed = Printed(told or (lambda line: log.info("printed by a step", type=type_name, text=line)))

    def read() -> None:
        with output:
            while line := output.readline(_LINE_BYTES):
                printed.line(line)
        printed.end()

    thread = threading.Thread(target=read, name="printed", daemon=True)
    thread.start()
    return thread


class Printed:
    """Passes lines on until it is too much."""

    def __init__(self, told: Callable[[str], None], clock: Clock | None = None) -> None:
        self._told = told
        self._clock = clock or SystemClock()
        self._since_s = self._clock.monotonic_s()
        self._left = LIMIT_BYTES
        self._dropped = 0

    def line(self, line: bytes) -> None:
        """Take a line."""
        now_s = self._clock.monotonic_s()
        if now_s - self._since_s >= _MINUTE_S:
            self.end()
            self._since_s, self._left = now_s, LIMIT_BYTES
        if len(line) > self._left:
            self._dropped += len(line)
            return
        self._left -= len(line)
        if text := line.decode(errors="replace").strip():
            self._told(text)

    def end(self) -> None:
        """Say what was left out."""
        if self._dropped:
            self._told(f"… and {self._dropped} bytes more, which are not kept: {LIMIT_BYTES} a minute are")
        self._dropped = 0
