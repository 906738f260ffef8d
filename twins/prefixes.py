"""How the lines of each row begin: measurement, twin and tags, as line protocol."""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from schemas.line_protocol import escape_measurement, escape_tag
from twins.growing import grown

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
        self.add_all(0, ())  # compiles, where the event loop does not wait for it

    def set_all(self, ids: NDArray[np.uint8], bounds: NDArray[np.int64]) -> None:
        """Fix the texts of all rows anew, without tags.

        Args:
            ids: (bytes,) uint8, the twins of the rows one after another; none needs escaping.
            bounds: Where each begins, and where the last one ends, (rows + 1,).
        """
        rows = len(bounds) - 1
        head = np.frombuffer(f"{self._measurement},twin=".encode(), np.uint8)
        self.text = grown(np.zeros(4096, np.uint8), rows * len(head) + len(ids))
        self.starts, self.ends = (grown(np.zeros(64, np.int64), rows) for _ in range(2))
        self._used = self._live = _write_all(head, ids, bounds, 0, self.text, self.starts, self.ends)

    def add_all(self, first: int, twins: Sequence[bytes]) -> None:
        """Fix the texts of new rows, from the slot `first` on, without tags; no twin needs escaping."""
        head = np.frombuffer(f"{self._measurement},twin=".encode(), np.uint8)
        ids = np.frombuffer(b"".join(twins), np.uint8)
        bounds = np.cumsum([0, *map(len, twins)], dtype=np.int64)
        end = first + len(twins)
        self.starts, self.ends = grown(self.starts, end), grown(self.ends, end)
        self._live -= int((self.ends[first:end] - self.starts[first:end]).sum())
        size = len(twins) * len(head) + len(ids)
        self.text = grown(self.text, self._used + size)
        _write_all(head, ids, bounds, self._used, self.text, self.starts[first:], self.ends[first:])
        self._used += size
        self._live += size

    def set(self, slot: int, twin: str, tags: dict[str, str]) -> None:
        """Fix the text of a row."""
        parts = [self._measurement, f"twin={escape_tag(twin)}"]
        parts += [f"{escape_tag(key)}={escape_tag(value)}" for key, value in sorted(tags.items()) if value]
        prefix = ",".join(parts).encode()
        self.starts = grown(self.starts, slot + 1)
        self.ends = grown(self.ends, slot + 1)
        start, old_end = int(self.starts[slot]), int(self.ends[slot])
        self._live += len(prefix) - (old_end - start)
        if len(prefix) > old_end - start:
            self.starts[slot] = self.ends[slot] = 0
            if self._used > 2 * self._live + _WASTE_BYTES:
                self._compact()
            start = self._used
            self._used += len(prefix)
            self.text = grown(self.text, self._used)
        self.text[start : start + len(prefix)] = np.frombuffer(prefix, np.uint8)
        self.starts[slot], self.ends[slot] = start, start + len(prefix)

    def _compact(self) -> None:
        """Leave out the texts that no row has any more."""
        starts, ends = self.starts, self.ends
        kept = np.concatenate([self.text[start:end] for start, end in zip(starts, ends, strict=True)])
        ends[:] = np.cumsum(ends - starts)
        starts[1:], starts[0] = ends[:-1], 0
        self.text, self._used = kept, len(kept)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _write_all(head: Any, ids: Any, bounds: Any, at: int, text: Any, starts: Any, ends: Any) -> int:  # noqa: ANN401
    """Write the head before every id, from `at` on; returns the place after the last."""
    for slot in range(bounds.shape[0] - 1):
        starts[slot] = at
        for i in range(head.shape[0]):
            text[at + i] = head[i]
        at += head.shape[0]
        for i in range(bounds[slot], bounds[slot + 1]):
            text[at] = ids[i]
            at += 1
        ends[slot] = at
    return at
