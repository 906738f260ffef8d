"""Payloads of a block: places in its bytes, made Python objects only where one is looked at."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from streams.block import Block
from streams.unpacking import VALUE_AT, VALUE_SIZE


@dataclass(slots=True, eq=False)
class Payloads(Sequence[bytes]):
    """n payloads; null is an empty one.

    Attributes:
        data: (bytes,) uint8, read-only.
        at: (n,) int64, first byte of each.
        ends: (n,) int64, the byte after its last.
    """

    data: NDArray[np.uint8]
    at: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of_block(cls, block: Block) -> "Payloads":
        """Values of a block."""
        at = np.ascontiguousarray(block.places[:, VALUE_AT])
        return cls(block.data, at, at + np.maximum(block.places[:, VALUE_SIZE], 0))

    @classmethod
    def of(cls, payloads: Iterable[bytes]) -> "Payloads":
        """Payloads from elsewhere."""
        listed = list(payloads)
        ends = np.cumsum(np.fromiter(map(len, listed), np.int64, len(listed)))
        at = np.concatenate([np.zeros(min(1, len(listed)), np.int64), ends[:-1]])
        return cls(np.frombuffer(b"".join(listed), np.uint8), at, ends)

    def __len__(self) -> int:
        """Number of payloads."""
        return len(self.at)

    def __iter__(self) -> Iterator[bytes]:
        """Payload by payload."""
        data = self.data.data
        for at, end in zip(self.at.tolist(), self.ends.tolist(), strict=True):
            yield bytes(data[at:end])

    def some(self, indices: NDArray[np.int64]) -> list[bytes]:
        """Those at `indices`."""
        data = self.data.data
        return [
            bytes(data[at:end]) for at, end in zip(self.at[indices].tolist(), self.ends[indices].tolist(), strict=True)
        ]

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> "Payloads": ...

    def __getitem__(self, index: int | slice) -> "bytes | Payloads":
        """One payload, or some."""
        if isinstance(index, slice):
            return Payloads(self.data, self.at[index], self.ends[index])
        return self.data[self.at[index] : self.ends[index]].tobytes()
