"""The latest lines of all roles, as they are on `twinstream.logs`."""

import heapq
from collections.abc import Iterable
from typing import Any

import msgspec

from streams.log.record import LogRecord

_KEPT = 2_000
_SHOWN_KEYS = frozenset({"event", "logger", "level", "time", "role", "pid", "exception"})
LEVELS = ("debug", "info", "warning", "error", "critical")


class LogLines:
    """Keeps lines as bytes, by time of writing, and reads them when somebody looks.

    Attributes:
        version: Grows with every line.
    """

    def __init__(self) -> None:
        self.version = 0
        self._lines: list[tuple[int, int, bytes]] = []

    def apply(self, records: Iterable[LogRecord]) -> None:
        """Take in records of the topic, of any partition."""
        for record in records:
            if record.value is not None:
                self.version += 1
                heapq.heappush(self._lines, (record.timestamp_ms, self.version, record.value))
                if len(self._lines) > _KEPT:
                    heapq.heappop(self._lines)

    def newest(self, limit: int, *, role: str = "", level: str = "info", words: str = "") -> list[dict[str, Any]]:
        """The latest lines that are wanted, oldest first: `time_ms`, `role`, `level`, `text`, `key`.

        Args:
            limit: Most of them.
            role: Only of this one; `""` for all.
            level: The least severe that is wanted.
            words: Part of the text, whatever the case.
        """
        wanted = set(LEVELS[LEVELS.index(level) :])
        found: list[dict[str, Any]] = []
        for time_ms, number, raw in sorted(self._lines, reverse=True):
            line = _read(raw)
            if line.get("level", "info") not in wanted or (role and line.get("role") != role):
                continue
            text = _text(line)
            if words and words.casefold() not in text.casefold():
                continue
            shown = {"role": str(line.get("role", "")), "level": str(line.get("level", "info")), "text": text}
            found.append({"key": str(number), "time": str(time_ms * 1_000_000), **shown})
            if len(found) == limit:
                break
        return found[::-1]


def _read(raw: bytes) -> dict[str, Any]:
    try:
        line = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {"event": repr(raw[:200])}
    return line if isinstance(line, dict) else {"event": str(line)}


def _text(line: dict[str, Any]) -> str:
    others = {
        name: value for name, value in line.items() if name not in _SHOWN_KEYS and not name.startswith("twinstream")
    }
    details = " ".join(f"{name}={value}" for name, value in others.items())
    trace = str(line.get("exception", "")).strip().splitlines()
    # The last line of a trace says what happened; all of it is in the role's log file.
    said = " ".join(filter(None, (str(line.get("event", "")), details, trace[-1] if trace else "")))
    return said[:600]
