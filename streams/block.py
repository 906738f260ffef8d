"""The unit of work: the fetched records of one partition, as columns over the bytes that were fetched."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from streams.unpacking import KEY_AT, KEY_SIZE, PLACES, VALUE_AT, VALUE_SIZE, read_headers, write_headers

Header = tuple[str, bytes]
Record = tuple[int, int, bytes | None, bytes | None, Sequence[Header]]
"""Offset, time of writing in UTC milliseconds, key, value and headers."""
ReadRecord = tuple[int, int, bytes | None, bytes | None, tuple[Header, ...]]
"""The same, as `Block.headers` gives headers."""


@dataclass(slots=True, eq=False)
class Block:
    """Consecutive committed records of one partition; nothing in it is ever changed.

    Attributes:
        partition: Partition of the input topic.
        start: Offset at which fetching stood before the first record; smaller than the first offset over holes that
            transactions leave.
        end: Offset at which fetching goes on after the last record.
        data: Bytes that keys, values and headers lie in, (bytes,) uint8, read-only.
        offsets: Offset of each record, (n,) int64, increasing, with holes.
        timestamps_ms: Time of writing of each record, UTC milliseconds, (n,) int64.
        places: Where each record's parts lie in `data`, (n, 6) int64: first byte and size of key and of value, size -1
            for null; first byte and number of headers, as `unpacking` reads them.
        unreadable: Offset of what could not be read, and why. It stands in the block as one record without key, whose
            value is the record batch as it was fetched.
    """

    partition: int
    start: int
    end: int
    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    places: NDArray[np.int64]
    unreadable: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of_records(
        cls, partition: int, records: Iterable[Record], *, start: int | None = None, end: int | None = None
    ) -> "Block":
        """A block of records from elsewhere; `start` and `end` are theirs when nothing else is given."""
        data = bytearray()
        offsets, timestamps_ms, places = [], [], []
        for offset, timestamp_ms, key, value, headers in records:
            place = []
            for part in (key, value):
                place += [len(data), -1 if part is None else len(part)]
                data += part or b""
            places.append((*place, len(data), len(headers)))
            data += write_headers(headers)
            offsets.append(offset)
            timestamps_ms.append(timestamp_ms)
        if start is None:
            start = offsets[0] if offsets else 0
        if end is None:
            end = offsets[-1] + 1 if offsets else start
        return cls(
            partition,
            start,
            end,
            np.frombuffer(bytes(data), np.uint8),
            np.array(offsets, np.int64),
            np.array(timestamps_ms, np.int64),
            np.array(places, np.int64).reshape(-1, PLACES),
        )

    @classmethod
    def joined(cls, blocks: Sequence["Block"]) -> "Block":
        """Blocks of which each begins where the one before ends, as one.

        Raises:
            ValueError: one belongs elsewhere, or there is none.
        """
        if len(blocks) == 1:
            return blocks[0]
        for block, later in pairwise(blocks):
            if later.partition != block.partition or later.start != block.end:
                message = f"block {later.partition}@{later.start} does not follow {block.partition}@{block.end}"
                raise ValueError(message)
        data = blocks[0].data
        places = [block.places for block in blocks]
        if any(block.data is not data for block in blocks):
            shifts = np.cumsum([0, *(len(block.data) for block in blocks[:-1])])
            shifted = np.array([1, 0, 1, 0, 1, 0])
            places = [block.places + shift * shifted for block, shift in zip(blocks, shifts.tolist(), strict=True)]
            data = np.concatenate([block.data for block in blocks])
            data.flags.writeable = False
        return cls(
            blocks[0].partition,
            blocks[0].start,
            blocks[-1].end,
            data,
            np.concatenate([block.offsets for block in blocks]),
            np.concatenate([block.timestamps_ms for block in blocks]),
            np.concatenate(places),
            {offset: why for block in blocks for offset, why in block.unreadable.items()},
        )

    def __len__(self) -> int:
        """Number of records."""
        return len(self.offsets)

    def since(self, offset: int) -> "Block":
        """The part from `offset` on; records below it were processed already."""
        if offset <= self.start:
            return self
        return self.part(int(np.searchsorted(self.offsets, offset)), len(self), start=offset)

    def part(self, first: int, last: int, start: int | None = None) -> "Block":
        """Records `first` to `last`, the latter excluded, by index."""
        return Block(
            self.partition,
            (int(self.offsets[first]) if first < len(self) else self.end) if start is None else start,
            int(self.offsets[last]) if last < len(self) else self.end,
            self.data,
            self.offsets[first:last],
            self.timestamps_ms[first:last],
            self.places[first:last],
            self.unreadable,
        )

    def take(self, indices: NDArray[np.int64]) -> "Block":
        """The records at `indices`, increasing."""
        return Block(
            self.partition,
            self.start,
            self.end,
            self.data,
            self.offsets[indices],
            self.timestamps_ms[indices],
            self.places[indices],
            self.unreadable,
        )

    # -- records as objects, for the rare paths ------------------------------------------------------------------------

    def offset(self, index: int) -> int:
        """Offset of a record."""
        return int(self.offsets[index])

    def key(self, index: int) -> bytes | None:
        """Key of a record."""
        return self._part_at(*self.places[index, KEY_AT : KEY_SIZE + 1].tolist())

    def keys(self, indices: Sequence[int]) -> list[bytes]:
        """Keys of the records at `indices`; null is an empty one."""
        data = self.data.data
        return [bytes(data[at : at + max(0, size)]) for at, size in self.places[indices, : KEY_SIZE + 1].tolist()]

    def value(self, index: int) -> bytes | None:
        """Value of a record."""
        return self._part_at(*self.places[index, VALUE_AT : VALUE_SIZE + 1].tolist())

    def headers(self, index: int) -> tuple[Header, ...]:
        """Headers of a record: null values as `b""`, names that are no UTF-8 with replacement characters."""
        _, _, _, _, at, count = self.places[index].tolist()
        return read_headers(self.data, at, count)

    def records(self, indices: Sequence[int]) -> list[ReadRecord]:
        """The records at `indices` in whole."""
        data = self.data.data
        return [
            (
                offset,
                timestamp_ms,
                None if key_size < 0 else bytes(data[key_at : key_at + key_size]),
                None if value_size < 0 else bytes(data[value_at : value_at + value_size]),
                read_headers(self.data, headers_at, headers) if headers else (),
            )
            for offset, timestamp_ms, (key_at, key_size, value_at, value_size, headers_at, headers) in zip(
                self.offsets[indices].tolist(),
                self.timestamps_ms[indices].tolist(),
                self.places[indices].tolist(),
                strict=True,
            )
        ]

    def pairs(self) -> Iterator[tuple[bytes | None, bytes | None]]:
        """Key and value of every record."""
        data = self.data.data
        for key_at, key_size, value_at, value_size, _, _ in self.places.tolist():
            yield (
                None if key_size < 0 else bytes(data[key_at : key_at + key_size]),
                None if value_size < 0 else bytes(data[value_at : value_at + value_size]),
            )

    def _part_at(self, at: int, size: int) -> bytes | None:
        return None if size < 0 else self.data[at : at + size].tobytes()
