"""Where telemetry came from: the part of the header `ts-source` before the colon."""

import hashlib
from collections.abc import Mapping
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from schemas.account import OTHER_SOURCE, TWIN_SOURCE, UNTOLD_SOURCE, source_named
from schemas.headers import HOPS, SOURCE
from twins.account_scan import find_sources
from twins.arrival import Arrivals

MOST_SOURCES = 16
"""Of a partition; any further one counts as `other`."""


class Sources:
    """Sources of one partition, with an index each in the order in which they came.

    Attributes:
        names: Of each.
        codes: (sources,) int64, hash of each, never 0.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.codes = np.zeros(0, np.int64)
        self._known: dict[str, int] = {}
        self._texts = np.frombuffer(b"", np.uint8)
        self._ends = np.zeros(0, np.int64)

    def index(self, name: str) -> int:
        """Index of a source, which it gets now if it has none."""
        known = self._known.get(name)
        if known is not None:
            return known
        if len(self.names) >= MOST_SOURCES and name != OTHER_SOURCE:
            return self.index(OTHER_SOURCE)
        self._known[name] = len(self.names)
        self.names.append(name)
        digest = hashlib.blake2b(b"source " + name.encode(), digest_size=8).digest()
        self.codes = np.append(self.codes, np.int64(int.from_bytes(digest, "little", signed=True) or 1))
        self._texts = np.frombuffer("".join(self.names).encode(), np.uint8)
        self._ends = np.array(list(accumulate(map(len, self.names))), np.int64)
        return self._known[name]

    def find(self, data: NDArray[np.uint8], came: Arrivals) -> NDArray[np.int64]:
        """Sources of n records.

        Args:
            data: (bytes,) that their headers lie in.
            came: How they came.

        Returns:
            (n,) index of each.
        """
        found = np.zeros(len(came.received_ns), np.int64)
        if came.sources is None:
            found[:] = self.index(UNTOLD_SOURCE)
        else:
            unknown = self._look(data, came.sources, found)
            while len(unknown):
                before = len(self.names)
                for index in unknown:
                    at, size = came.sources[index].tolist()
                    found[index] = self.index(_named(data[at : at + size].tobytes()))
                    if len(self.names) > before:
                        break
                # Most that follow are of the source that was new.
                unknown = self._look(data, came.sources, found) if len(self.names) > before else []
        if came.hops is not None:
            found[came.hops != 0] = self.index(TWIN_SOURCE)
        return found

    def _look(self, data: NDArray[np.uint8], places: NDArray[np.int64], found: NDArray[np.int64]) -> list[int]:
        """Fill in the sources that are known; return the indices of the others."""
        find_sources(data, places, self._texts, self._ends, self._known.get(UNTOLD_SOURCE, -1), found)
        return np.flatnonzero(found < 0).tolist()


def source_of(headers: Mapping[str, bytes]) -> str:
    """Source of one record."""
    return TWIN_SOURCE if headers.get(HOPS) else _named(headers.get(SOURCE, b""))


def _named(text: bytes) -> str:
    return source_named(text.decode(errors="replace"))
