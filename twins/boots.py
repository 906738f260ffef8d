"""Hashes of the boots that devices name, found for a whole block by a compiled pass.

All of it stands in one file: numba keeps compiled code by the time stamp of the function's own file.
"""

import hashlib
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from twins.growing import grown

_MOST = 1 << 18
"""With so many boots all are forgotten, rather than to grow with every boot ever seen."""
_LONGEST = 64
"""Bytes of a boot that is remembered."""
_FIRST_CELLS = 256
_PROBES = 4
"""Whoever names boots that fall into the same cells has those alone hashed anew each time."""
_OFFSET = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_HALF = np.uint64(32)


class BootHashes:
    """64-bit hashes of boots, 0 for none."""

    def __init__(self) -> None:
        self._forget()
        nothing = np.frombuffer(b"", np.uint8)
        self._place(0)
        self.of_texts(nothing, np.zeros((0, 2), np.int64))  # compiles, where the event loop does not wait for it

    def of(self, boot: str) -> int:
        """Hash of a boot; fits an int64."""
        return _remembered(boot) if len(boot) <= _LONGEST else _hashed(boot.encode())

    def of_texts(self, data: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Hashes of n boots.

        Args:
            data: (bytes,) uint8, read-only.
            places: (n, 2): first byte of each in `data`, and the byte after its last.

        Returns:
            (n,) int64.
        """
        found = np.zeros(len(places), np.int64)
        at = 0
        while True:
            at = _look(at, data, places, self._text, self._ends, self._hashes, self._cells, found)
            if at >= len(places):
                return found
            start, end = places[at].tolist()
            found[at] = self._remember(data[start:end].tobytes())
            at += 1

    def _forget(self) -> None:
        self._count = 0
        self._text = np.zeros(0, np.uint8)
        self._ends = np.zeros(1, np.int64)
        self._hashes = np.zeros(0, np.int64)
        self._cells = np.zeros(_FIRST_CELLS, np.int64)

    def _remember(self, boot: bytes) -> int:
        number = _hashed(boot)
        if len(boot) > _LONGEST:
            return number
        if self._count >= _MOST:
            self._forget()
        end = int(self._ends[self._count])
        self._text = grown(self._text, end + len(boot))
        self._text[end : end + len(boot)] = np.frombuffer(boot, np.uint8)
        self._ends = grown(self._ends, self._count + 2)
        self._ends[self._count + 1] = end + len(boot)
        self._hashes = grown(self._hashes, self._count + 1)
        self._hashes[self._count] = number
        self._count += 1
        if 2 * self._count > len(self._cells):
            self._cells = np.zeros(4 * len(self._cells), np.int64)
            self._place(0)
        else:
            self._place(self._count - 1)
        return number

    def _place(self, first: int) -> None:
        _fill(self._text, self._ends, first, self._count, self._cells)


@lru_cache(1 << 16)
def _remembered(boot: str) -> int:
    return _hashed(boot.encode()) if boot else 0


def _hashed(boot: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(boot, digest_size=8).digest(), "little", signed=True)


# Source of the hash: as of `twins.ids`.
@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _cell(text: Any, start: int, end: int, cells: int) -> int:  # noqa: ANN401
    state = _OFFSET
    for i in range(start, end):
        state = (state ^ np.uint64(text[i])) * _PRIME
    state = (state ^ (state >> _HALF)) * _MIX
    return np.int64((state >> _HALF) & np.uint64(cells - 1))  # type: ignore[return-value]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _fill(text: Any, ends: Any, first: int, count: int, cells: Any) -> None:  # noqa: ANN401
    """Enter the boots from `first` to before `count`; a cell holds a number plus 1, 0 is a free one."""
    for number in range(first, count):
        home = _cell(text, ends[number], ends[number + 1], cells.shape[0])
        taken = home
        for probe in range(_PROBES):
            cell = (home + probe) & (cells.shape[0] - 1)
            if not cells[cell]:
                taken = cell
                break
        cells[taken] = number + 1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _look(at: int, data: Any, places: Any, text: Any, ends: Any, hashes: Any, cells: Any, found: Any) -> int:  # noqa: ANN401
    """Fill in the hashes of the boots from `at` on; return the first one that is not known, or n."""
    for r in range(at, places.shape[0]):
        start, size = places[r, 0], places[r, 1] - places[r, 0]
        if size <= 0:
            continue
        known = False
        home = _cell(data, start, start + size, cells.shape[0])
        for probe in range(_PROBES):
            number = cells[(home + probe) & (cells.shape[0] - 1)] - 1
            if number < 0:
                break
            if ends[number + 1] - ends[number] == size:
                known = True
                for i in range(size):
                    if text[ends[number] + i] != data[start + i]:
                        known = False
                        break
                if known:
                    found[r] = hashes[number]
                    break
        if not known:
            return r
    count: int = places.shape[0]
    return count
