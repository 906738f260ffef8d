"""How the lines of each row begin: measurement, twin and tags, as line protocol."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.line_protocol import escape_measurement, escape_tag

_WASTE_BYTES = 64 * 1024
"""Prefixes that were replaced are kept until they take this much and more than those in use."""


class LinePrefixes:
    """Texts by row.

    Args:
        measurement: Of every line.

    Attributes:
        text: (bytes,) uint8, all of them.
        starts: (rows,) where each begins.
        ends: (rows,) where each ends.
    """

    def __init__(self, measurement: str) -> None:
        self._measurement = escape_measurement(measurement)
        self.text = np.zeros(4096, np.uint8)
        self.starts = np.zeros(64, np.int64)
        self.ends = np.zeros(64, np.int64)
        self._used = 0
        self._live = 0

    def set(self, slot: int, twin: str, tags: dict[str, str]) -> None:
        """Fix the text of a row."""
        parts = [self._measurement, f"twin={escape_tag(twin)}"]
        parts += [f"{escape_tag(key)}={escape_tag(value)}" for key, value in sorted(tags.items()) if value]
        prefix = ",".join(parts).encode()
        self.starts = _grown(self.starts, slot + 1)
        self.ends = _grown(self.ends, slot + 1)
        start, old_end = int(self.starts[slot]), int(self.ends[slot])
        self._live += len(prefix) - (old_end - start)
        if len(prefix) > old_end - start:
            self.starts[slot] = self.ends[slot] = 0
            if self._used > 2 * self._live + _WASTE_BYTES:
                self._compact()
            start = self._used
            self._used += len(prefix)
            self.text = _grown(self.text, self._used)
        self.text[start : start + len(prefix)] = np.frombuffer(prefix, np.uint8)
        self.starts[slot], self.ends[slot] = start, start + len(prefix)

    def _compact(self) -> None:
        """Leave out the texts that no row has any more."""
        starts, ends = self.starts, self.ends
        kept = np.concatenate([self.text[start:end] for start, end in zip(starts, ends, strict=True)])
        ends[:] = np.cumsum(ends - starts)
        starts[1:], starts[0] = ends[:-1], 0
        self.text, self._used = kept, len(kept)


def _grown(array: NDArray[Any], size: int) -> NDArray[Any]:
    if size <= len(array):
        return array
    larger = np.zeros(max(size, 2 * len(array)), array.dtype)
    larger[: len(array)] = array
    return larger
