"""The unit of work: the fetched records of one partition, as columns."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Header = tuple[str, bytes]


@dataclass(slots=True)
class Block:
    """Consecutive committed records of one partition.

    Attributes:
        partition: Partition of the input topic.
        start: Offset at which fetching stood before the first record; smaller than the first offset over holes that
            transactions leave.
        end: Offset at which fetching goes on after the last record.
        offsets: Offset of each record, increasing, with holes.
        timestamps_ms: Time of writing of each record, UTC milliseconds.
        keys: Key of each record.
        values: Value of each record.
        headers: Headers of each record.
    """

    partition: int
    start: int
    end: int
    offsets: list[int]
    timestamps_ms: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[tuple[Header, ...]]

    def __len__(self) -> int:
        """Number of records."""
        return len(self.offsets)

    def extend(self, later: "Block") -> None:
        """Append the block that follows immediately.

        Raises:
            ValueError: `later` belongs elsewhere.
        """
        if later.partition != self.partition or later.start != self.end:
            message = f"block {later.partition}@{later.start} does not follow {self.partition}@{self.end}"
            raise ValueError(message)
        self.end = later.end
        self.offsets += later.offsets
        self.timestamps_ms += later.timestamps_ms
        self.keys += later.keys
        self.values += later.values
        self.headers += later.headers

    def since(self, offset: int) -> "Block":
        """The part from `offset` on; records below it were processed already."""
        if offset <= self.start:
            return self
        cut = int(np.searchsorted(self.offset_array(), offset))
        return self.part(cut, len(self), start=offset)

    def part(self, first: int, last: int, start: int | None = None) -> "Block":
        """Records `first` to `last`, the latter excluded, by index."""
        return Block(
            self.partition,
            (self.offsets[first] if first < len(self) else self.end) if start is None else start,
            self.offsets[last] if last < len(self) else self.end,
            self.offsets[first:last],
            self.timestamps_ms[first:last],
            self.keys[first:last],
            self.values[first:last],
            self.headers[first:last],
        )

    def offset_array(self) -> npt.NDArray[np.int64]:
        """Offsets as an array."""
        return np.array(self.offsets, np.int64)
