"""All twins of one partition: rows, ids, tags and which of them changed."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from twins.carrying import carried_over
from twins.ids import IdIndex
from twins.layout import FINGERPRINT_BYTES, RowLayout, identity
from twins.row_format import RowFormat
from twins.texts import renamed

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIRST_CAPACITY = 64


class RowTable:
    """Rows by slot, slots by twin id.

    Attributes:
        rows: (capacity,) records; the first `len(table)` are in use, the others are as a new twin's.
        dirty: (capacity,) uint8, nonzero where a row changed since the last snapshot.
        slots: Slot of each twin id, as the bytes of the record key.
        ids: Twin id of each slot, empty for a twin that was taken out.
        tags: Tags of each slot, and its texts (`twins.texts`).
        tick_ns: Time of the partition's last tick, 0 for none.
        refused: How many restored rows held a value that is no longer permitted of a parameter, by parameter.
    """

    def __init__(self, layout: RowLayout) -> None:
        self.layout = layout
        self._new_row = layout.new_row()
        self.rows: NDArray[np.void] = np.repeat(self._new_row, _FIRST_CAPACITY)
        self.dirty = np.zeros(_FIRST_CAPACITY, np.uint8)
        self.slots: dict[bytes, int] = {}
        self.ids: list[bytes] = []
        self.tags: list[dict[str, str]] = []
        self.tick_ns = 0
        self._index = IdIndex()
        self.refused: Counter[str] = Counter()
        self._formats: dict[bytes, RowFormat] = {layout.fingerprint: layout.format}

    def __len__(self) -> int:
        """Number of twins."""
        return len(self.ids)

    def add(self, key: bytes) -> int:
        """Make a row for a new twin; return its slot."""
        slot = len(self.ids)
        if slot == len(self.rows):
            self.rows = np.concatenate([self.rows, np.repeat(self._new_row, slot)])
            self.dirty = np.concatenate([self.dirty, np.zeros(slot, np.uint8)])
        self.rows["identity"][slot] = identity(key)
        self.slots[key] = slot
        self.ids.append(key)
        self.tags.append({})
        return slot

    def find(self, data: "NDArray[np.uint8]", places: "NDArray[np.int64]") -> "NDArray[np.int64]":
        """Slots of n ids, `NO_SLOT` for unknown ones; arguments as of `IdIndex.find`."""
        if self._index.count < len(self.ids):
            self._index.extend(self.ids[self._index.count :])
        return self._index.find(data, places)

    def forget_newest(self) -> None:
        """Take back the latest `add`."""
        del self.slots[self.ids.pop()]
        del self.tags[len(self.ids)]
        self.rows[len(self.ids)] = self._new_row[0]
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
        tags = msgspec.json.decode(value[end:], type=dict[str, str]) if len(value) > end else {}
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

    def take_over(self, earlier: "RowTable") -> None:
        """Take in the twins of a table with another layout; this one must be empty, and the other is used up."""
        count = len(earlier)
        carried, refused = carried_over(self.layout, earlier.rows[:count], earlier.layout.format)
        self.rows = np.concatenate([carried, np.repeat(self._new_row, len(earlier.rows) - count)])
        self.dirty = np.ones(len(self.rows), np.uint8)
        self.dirty[count:] = 0
        self.slots, self.ids = earlier.slots, earlier.ids
        self.tags = [renamed(stored, self.layout.definition, earlier.layout.format) for stored in earlier.tags]
        self.tick_ns = earlier.tick_ns
        self.refused.update(refused)

    def snapshot(self) -> Iterator[tuple[bytes, bytes]]:
        """Changed rows as changelog key and value; clears the marks."""
        changed = np.flatnonzero(self.dirty[: len(self.ids)])
        size = self.layout.dtype.itemsize
        packed = self.rows[changed].tobytes()
        self.dirty[changed] = 0
        fingerprint = self.layout.fingerprint
        for index, slot in enumerate(changed.tolist()):
            if not self.ids[slot]:
                continue
            tags = self.tags[slot]
            encoded = msgspec.json.encode(tags) if tags else b""
            yield self.ids[slot], fingerprint + packed[index * size : (index + 1) * size] + encoded

    def row(self, slot: int) -> Any:  # noqa: ANN401 - a NumPy record
        """One row, to be read and written by field."""
        return self.rows[slot]
