"""All twins of one partition: rows, ids, tags and which of them changed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import numba
import numpy as np

from streams.processor import RESERVED_KEY_PREFIX
from streams.unpacking import KEY_AT, KEY_SIZE, VALUE_AT, VALUE_SIZE
from twins.carrying import carried_over
from twins.growing import grown
from twins.ids import IdIndex
from twins.layout import FINGERPRINT_BYTES, RowLayout, identity
from twins.row_format import RowFormat
from twins.texts import renamed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streams.block import Block

_FIRST_CAPACITY = 64
_RESERVED = RESERVED_KEY_PREFIX[0]
_NO_TAGS: Mapping[str, str] = MappingProxyType({})
"""Shared by all rows without: tags are replaced, never changed."""

_OBJECTS_BYTES = 300
"""Of a twin's id, as an object, and its places in a dictionary and in lists."""

_read_tags = msgspec.json.Decoder(dict[str, str]).decode


class RowTable:
    """Rows by slot, slots by twin id.

    Attributes:
        rows: (capacity,) records; the first `len(table)` are in use, the others are nobody's.
        dirty: (capacity,) uint8, nonzero where a row changed since the last snapshot.
        slots: Slot of each twin id, as the bytes of the record key.
        ids: Twin id of each slot, empty for a twin that was taken out.
        tags: Tags of each slot, and its texts (`twins.texts`).
        tick_ns: Time of the partition's last tick, 0 for none.
        refused: How many restored rows held a value that is no longer permitted of a parameter, by parameter.
    """

    def __init__(self, layout: RowLayout) -> None:
        self.layout = layout
        self._new_row = _octets(layout.new_row())[0]
        self.rows: NDArray[np.void] = np.zeros(_FIRST_CAPACITY, layout.dtype)
        self.dirty = np.zeros(_FIRST_CAPACITY, np.uint8)
        self.slots: dict[bytes, int] = {}
        self.ids: list[bytes] = []
        self.tags: list[Mapping[str, str]] = []
        self.tick_ns = 0
        self.refused: Counter[str] = Counter()
        self._index = IdIndex()
        self._has_tags = False
        self._formats: dict[bytes, RowFormat] = {layout.fingerprint: layout.format}
        # Compiles, where the event loop does not wait for it.
        list(self.snapshot())

    def __len__(self) -> int:
        """Number of twins."""
        return len(self.ids)

    def add(self, key: bytes) -> int:
        """Make a row for a new twin; return its slot."""
        return self.add_all([key])

    def add_all(self, keys: Sequence[bytes]) -> int:
        """Make rows for new twins, one behind the other; return the first one's slot."""
        first, end = len(self.ids), len(self.ids) + len(keys)
        self._make_room(end)
        _octets(self.rows)[first:end] = self._new_row
        self.rows["identity"][first:end] = list(map(identity, keys))
        self.slots.update(zip(keys, range(first, end), strict=True))
        self.ids += keys
        self.tags += [_NO_TAGS] * len(keys)
        return first

    def _make_room(self, rows: int) -> None:
        if rows > len(self.rows):
            # As bytes: NumPy copies records field by field. What nobody uses takes no memory.
            larger = np.zeros(max(rows, 2 * len(self.rows)), self.layout.dtype)
            _octets(larger)[: len(self.rows)] = _octets(self.rows)
            self.rows = larger
            self.dirty = grown(self.dirty, len(larger))

    def find(self, data: "NDArray[np.uint8]", places: "NDArray[np.int64]") -> "NDArray[np.int64]":
        """Slots of n ids, `NO_SLOT` for unknown ones; arguments as of `IdIndex.find`."""
        return self.index.find(data, places)

    @property
    def index(self) -> IdIndex:
        """Slots of all ids."""
        if self._index.count < len(self.ids):
            self._index.extend(self.ids[self._index.count :])
        return self._index

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, about; asked from any thread."""
        return len(self.ids) * (self.layout.dtype.itemsize + _OBJECTS_BYTES) + self._index.size_bytes

    def forget_newest(self) -> None:
        """Take back the latest `add`."""
        del self.slots[self.ids.pop()]
        del self.tags[len(self.ids)]
        self.dirty[len(self.ids)] = 0
        if self._index.count > len(self.ids):
            self._index = IdIndex()

    def forget(self, key: bytes) -> None:
        """Take a twin out; its slot stays empty."""
        slot = self.slots.pop(key, None)
        if slot is not None:
            self.ids[slot] = b""
            self._index = IdIndex()

    def learn_layout(self, fingerprint: bytes, description: bytes) -> None:
        """Note a layout that rows may come in."""
        self._formats[fingerprint] = RowFormat.read(description)

    def restore_all(self, records: "Block", first: int = 0) -> int:
        """Take in rows of this layout from a block of the changelog, without a Python object per row.

        Args:
            records: Of the changelog.
            first: Index of the record to begin with.

        Returns:
            Index of the first record behind it that is anything else, the block's length when there is none.
        """
        fingerprint = np.frombuffer(self.layout.fingerprint, np.uint8)
        size = self.layout.dtype.itemsize
        data, places = records.data, records.places[first:]
        count: int = _rows_of(data, places, fingerprint, size)
        if not count:
            return first
        places = places[:count]
        index, known = self.index, len(self.ids)
        slots = index.enter(data, places)
        if index.count > known:
            self._make_room(index.count)
            text, bounds = index.text[index.bounds[known] :].tobytes(), index.bounds[known:] - index.bounds[known]
            added = [text[start:end] for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)]
            self.ids += added
            self.slots.update(zip(added, range(known, index.count), strict=True))
            self.tags += [_NO_TAGS] * len(added)
        _copy_rows(data, places, slots, _octets(self.rows))
        self._restore_tags(records, places, slots, FINGERPRINT_BYTES + size)
        return first + count

    def _restore_tags(
        self, records: "Block", places: "NDArray[np.int64]", slots: "NDArray[np.int64]", after: int
    ) -> None:
        self._has_tags |= bool((places[:, VALUE_SIZE] > after).any())
        if not self._has_tags:
            return
        data = records.data.data
        for slot, (at, size) in zip(slots.tolist(), places[:, [VALUE_AT, VALUE_SIZE]].tolist(), strict=True):
            self.tags[slot] = _read_tags(data[at + after : at + size]) if size > after else _NO_TAGS

    def restore(self, key: bytes, value: bytes) -> int:
        """Take in a changelog row, of this layout or an older one; return its slot.

        Raises:
            ValueError: the row's layout is unknown.
        """
        fingerprint = value[:FINGERPRINT_BYTES]
        earlier = self._formats.get(fingerprint)
        if earlier is None:
            message = f"row of {key!r} has the unknown layout {fingerprint.hex()}"
            raise ValueError(message)
        slot = self.slots.get(key)
        if slot is None:
            slot = self.add(key)
        end = FINGERPRINT_BYTES + earlier.dtype.itemsize
        row = np.frombuffer(value, earlier.dtype, count=1, offset=FINGERPRINT_BYTES)
        tags: Mapping[str, str] = _read_tags(value[end:]) if len(value) > end else _NO_TAGS
        self._has_tags |= bool(tags)
        if fingerprint == self.layout.fingerprint:
            self.rows[slot] = row[0]
        else:
            tags = renamed(tags, self.layout.definition, earlier)
            carried, refused = carried_over(self.layout, row, earlier)
            self.rows[slot] = carried[0]
            self.rows["identity"][slot] = identity(key)
            self.refused.update(refused)
            self.dirty[slot] = 1
        self.tags[slot] = tags
        return slot

    def begin(self) -> None:
        """Rows are stepped from now on, and any of them may get tags."""
        self._has_tags = True

    def take_over(self, earlier: "RowTable") -> None:
        """Take in the twins of a table with another layout; this one must be empty, and the other is used up."""
        count = len(earlier)
        carried, refused = carried_over(self.layout, earlier.rows[:count], earlier.layout.format)
        self.rows = carried
        self.dirty = np.ones(count, np.uint8)
        self.slots, self.ids = earlier.slots, earlier.ids
        self.tags = [renamed(stored, self.layout.definition, earlier.layout.format) for stored in earlier.tags]
        self.tick_ns = earlier.tick_ns
        self.refused.update(refused)

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        """Changed rows as changelog key and value; clears the marks."""
        changed = np.flatnonzero(self.dirty[: len(self.ids)])
        values = np.empty((len(changed), FINGERPRINT_BYTES + self.layout.dtype.itemsize), np.uint8)
        _take_rows(_octets(self.rows), changed, np.frombuffer(self.layout.fingerprint, np.uint8), values)
        self.dirty[changed] = 0
        ids, tags = self.ids, self.tags
        for slot, value in zip(changed.tolist(), values.view(f"V{values.shape[1]}")[:, 0].tolist(), strict=True):
            if ids[slot]:
                yield ids[slot], value + msgspec.json.encode(tags[slot]) if tags[slot] else value

    def row(self, slot: int) -> Any:  # noqa: ANN401 - a NumPy record
        """One row, to be read and written by field."""
        return self.rows[slot]


def _octets(rows: "NDArray[np.void]") -> "NDArray[np.uint8]":
    """Rows as bytes, (rows, size of one)."""
    return rows.view(np.uint8).reshape(len(rows), rows.dtype.itemsize)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _rows_of(data: Any, places: Any, fingerprint: Any, size: int) -> int:  # noqa: ANN401
    """How many of the first records are rows of a layout."""
    count = 0
    for r in range(places.shape[0]):
        if places[r, KEY_SIZE] <= 0 or data[places[r, KEY_AT]] == _RESERVED:
            break
        if places[r, VALUE_SIZE] < fingerprint.shape[0] + size:
            break
        same = True
        for i in range(fingerprint.shape[0]):
            same &= data[places[r, VALUE_AT] + i] == fingerprint[i]
        if not same:
            break
        count += 1
    return count


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _copy_rows(data: Any, places: Any, slots: Any, rows: Any) -> None:  # noqa: ANN401
    """Copy the bytes of each record's row to its slot."""
    for r in range(places.shape[0]):
        at = places[r, VALUE_AT] + FINGERPRINT_BYTES
        for i in range(rows.shape[1]):
            rows[slots[r], i] = data[at + i]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _take_rows(rows: Any, slots: Any, fingerprint: Any, values: Any) -> None:  # noqa: ANN401
    """Write the fingerprint and the bytes of each slot's row."""
    for r in range(slots.shape[0]):
        slot = np.uintp(slots[r])
        for i in range(FINGERPRINT_BYTES):
            values[r, i] = fingerprint[i]
        for i in range(rows.shape[1]):
            values[r, FINGERPRINT_BYTES + i] = rows[slot, i]
