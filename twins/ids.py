"""Slots of twin ids, found for a whole block by a compiled pass: a hash table with open addressing over the bytes."""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

NO_SLOT = -1
_FIRST_CELLS = 256
_OFFSET = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_HALF = np.uint64(32)


class IdIndex:
    """Finds slots; ids get the slots 0, 1, 2 … in the order in which they come.

    Attributes:
        count: Slots so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._ids = np.frombuffer(b"", np.uint8)
        self._ends = np.zeros(0, np.int64)
        self._cells = np.zeros(_FIRST_CELLS, np.int64)
        # Compiles, where the event loop does not wait for it.
        self.extend(())
        self.find(self._ids, np.zeros((0, 2), np.int64))

    def extend(self, ids: Sequence[bytes]) -> None:
        """Give the next slots to `ids`; an empty one takes a slot that nobody finds."""
        sizes = np.fromiter(map(len, ids), np.int64, len(ids))
        first = self.count
        self._ids = np.frombuffer(self._ids.tobytes() + b"".join(ids), np.uint8)
        self._ends = np.concatenate([self._ends, np.cumsum(sizes) + (self._ends[-1] if first else 0)])
        self.count += len(ids)
        if 2 * self.count > len(self._cells):
            cells = len(self._cells)
            while 2 * self.count > cells:
                cells *= 4
            self._cells = np.zeros(cells, np.int64)
            first = 0
        _enter(self._ids, self._ends, first, self._cells)

    def find(self, data: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots of n ids.

        Args:
            data: (bytes,) uint8, read-only.
            places: (n, 2 or more): first byte and size of each in `data`.

        Returns:
            (n,) int64, `NO_SLOT` for unknown ones.
        """
        slots = np.empty(len(places), np.int64)
        _find(data, places, self._ids, self._ends, self._cells, slots)
        return slots


# Source of the hash: G. Fowler, L. C. Noll, K.-P. Vo, FNV-1a, 64 bits; mixed once more, because cells are its low bits.
@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _cell(text: Any, start: int, end: int, cells: int) -> int:  # noqa: ANN401
    state = _OFFSET
    for i in range(start, end):
        state = (state ^ np.uint64(text[i])) * _PRIME
    state = (state ^ (state >> _HALF)) * _MIX
    return np.int64((state >> _HALF) & np.uint64(cells - 1))  # type: ignore[return-value]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _enter(ids: Any, ends: Any, first: int, cells: Any) -> None:  # noqa: ANN401
    """Enter the slots from `first` on; a cell holds a slot plus 1, 0 is a free one."""
    for slot in range(first, ends.shape[0]):
        start = ends[slot - 1] if slot > 0 else 0
        if ends[slot] > start:
            cell = _cell(ids, start, ends[slot], cells.shape[0])
            while cells[cell]:
                cell = (cell + 1) & (cells.shape[0] - 1)
            cells[cell] = slot + 1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _find(data: Any, places: Any, ids: Any, ends: Any, cells: Any, slots: Any) -> None:  # noqa: ANN401
    for r in range(places.shape[0]):
        at, size = places[r, 0], places[r, 1]
        slots[r] = NO_SLOT
        if size <= 0:
            continue
        cell = _cell(data, at, at + size, cells.shape[0])
        while cells[cell]:
            slot = cells[cell] - 1
            start = ends[slot - 1] if slot > 0 else 0
            if ends[slot] - start == size:
                same = True
                for i in range(size):
                    if ids[start + i] != data[at + i]:
                        same = False
                        break
                if same:
                    slots[r] = slot
                    break
            cell = (cell + 1) & (cells.shape[0] - 1)
