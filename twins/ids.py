"""Slots of twin ids, found for a whole block by a compiled pass: a hash table with open addressing over the bytes."""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from twins.growing import grown

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
        self._text = np.zeros(0, np.uint8)
        self._bounds = np.zeros(1, np.int64)
        self._cells = np.zeros(_FIRST_CELLS, np.int64)
        # Compiles, where the event loop does not wait for it.
        nothing = np.frombuffer(b"", np.uint8)
        self.extend(())
        self.enter(nothing, np.zeros((0, 2), np.int64))
        self.find(nothing, np.zeros((0, 2), np.int64))

    @property
    def text(self) -> NDArray[np.uint8]:
        """All ids, one after another, (bytes,) uint8."""
        return self._text[: self._bounds[self.count]]

    @property
    def bounds(self) -> NDArray[np.int64]:
        """Where each id begins in `text`, and where the last one ends, (count + 1,)."""
        return self._bounds[: self.count + 1]

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        return self._text.nbytes + self._bounds.nbytes + self._cells.nbytes

    def extend(self, ids: Sequence[bytes]) -> None:
        """Give the next slots to `ids`; an empty one takes a slot that nobody finds."""
        first, end = self.count, int(self._bounds[self.count])
        ends = end + np.cumsum(np.fromiter(map(len, ids), np.int64, len(ids)))
        joined = np.frombuffer(b"".join(ids), np.uint8)
        self._make_room(len(ids), len(joined))
        self._text[end : end + len(joined)] = joined
        self._bounds[first + 1 : first + 1 + len(ids)] = ends
        self.count += len(ids)
        _fill(self._text, self._bounds, first, self.count, self._cells)

    def enter(self, data: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots of n ids, none of them empty; unknown ones get the next slots, in the order in which they come.

        Args:
            data: (bytes,) uint8, read-only.
            places: (n, 2 or more): first byte and size of each in `data`.

        Returns:
            (n,) int64.
        """
        self._make_room(len(places), int(places[:, 1].sum()))
        slots = np.empty(len(places), np.int64)
        self.count = _enter(data, places, self._text, self._bounds, self.count, self._cells, slots)
        return slots

    def _make_room(self, ids: int, size: int) -> None:
        """For so many more ids of so many bytes."""
        self._text = grown(self._text, int(self._bounds[self.count]) + size)
        self._bounds = grown(self._bounds, self.count + ids + 1)
        cells = len(self._cells)
        while 2 * (self.count + ids) > cells:
            cells *= 4
        if cells > len(self._cells):
            self._cells = np.zeros(cells, np.int64)
            _fill(self._text, self._bounds, 0, self.count, self._cells)

    def find(self, data: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots of n ids.

        Args:
            data: (bytes,) uint8, read-only.
            places: (n, 2 or more): first byte and size of each in `data`.

        Returns:
            (n,) int64, `NO_SLOT` for unknown ones.
        """
        slots = np.empty(len(places), np.int64)
        _find(data, places, self._text, self._bounds, self._cells, slots)
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
def _fill(text: Any, bounds: Any, first: int, count: int, cells: Any) -> None:  # noqa: ANN401
    """Enter the slots from `first` to before `count`; a cell holds a slot plus 1, 0 is a free one."""
    for slot in range(first, count):
        if bounds[slot + 1] > bounds[slot]:
            cell = _cell(text, bounds[slot], bounds[slot + 1], cells.shape[0])
            while cells[cell]:
                cell = (cell + 1) & (cells.shape[0] - 1)
            cells[cell] = slot + 1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _cell_of(data: Any, at: int, size: int, text: Any, bounds: Any, cells: Any) -> int:  # noqa: ANN401
    """The cell of an id, or the free one where it would be."""
    cell: int = _cell(data, at, at + size, cells.shape[0])
    while cells[cell]:
        start = bounds[cells[cell] - 1]
        if bounds[cells[cell]] - start == size:
            same = True
            for i in range(size):
                if text[start + i] != data[at + i]:
                    same = False
                    break
            if same:
                break
        cell = (cell + 1) & (cells.shape[0] - 1)
    return cell


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _find(data: Any, places: Any, text: Any, bounds: Any, cells: Any, slots: Any) -> None:  # noqa: ANN401
    # Not by `_cell_of`, which takes half as long again.
    for r in range(places.shape[0]):
        at, size = places[r, 0], places[r, 1]
        slots[r] = NO_SLOT
        if size <= 0:
            continue
        cell = _cell(data, at, at + size, cells.shape[0])
        while cells[cell]:
            slot = cells[cell] - 1
            start = bounds[slot]
            if bounds[slot + 1] - start == size:
                same = True
                for i in range(size):
                    if text[start + i] != data[at + i]:
                        same = False
                        break
                if same:
                    slots[r] = slot
                    break
            cell = (cell + 1) & (cells.shape[0] - 1)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _enter(data: Any, places: Any, text: Any, bounds: Any, count: int, cells: Any, slots: Any) -> int:  # noqa: ANN401
    """Fill the slots, adding what is unknown; there is room. Returns how many ids there are now."""
    entered = count
    for r in range(places.shape[0]):
        at, size = places[r, 0], places[r, 1]
        cell = _cell_of(data, at, size, text, bounds, cells)
        if not cells[cell]:
            start = bounds[entered]
            for i in range(size):
                text[start + i] = data[at + i]
            entered += 1
            bounds[entered] = start + size
            cells[cell] = entered
        slots[r] = cells[cell] - 1
    return entered
