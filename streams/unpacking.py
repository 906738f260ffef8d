"""The records section of a Kafka record batch, version 2, read by a compiled pass: no Python object per record.

Source: Apache Kafka's protocol guide, section "Record Batch". Lengths and deltas are zigzag variable-length integers:

    record: length, attributes (1 byte), timestamp delta, offset delta, key, value, number of headers, headers
    key, value, header name, header value: length (-1 for null), bytes
"""

from collections.abc import Iterable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

PLACES = 6
KEY_AT, KEY_SIZE, VALUE_AT, VALUE_SIZE, HEADERS_AT, HEADERS = range(PLACES)
"""Columns of a block's places."""

SMALLEST_RECORD = 7
"""Bytes of a record with nothing in it."""

_MORE = 0x80
_SEVEN_BITS = 0x7F
_LONGEST_SHIFT = 63
_WITHOUT_SIGN = 0x7FFFFFFFFFFFFFFF
_SIXTY_FOUR_BITS = 0xFFFFFFFFFFFFFFFF


def unpacked(
    data: NDArray[np.uint8],
    place: tuple[int, int],
    count: int,
    offsets_from: tuple[int, int],
    base_ms: int,
    *,
    append_time: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None:
    """Read the records of one batch.

    Args:
        data: (bytes,) uint8, read-only.
        place: First byte of the records section, and the byte after its last.
        count: Records that the batch says it has.
        offsets_from: First offset that the batch may have, and the one after its last.
        base_ms: What the records' times are counted from.
        append_time: It is every record's time.

    Returns:
        Offsets, time stamps in ms and places of the records, as a block has them; None for bytes that are no such
        records.
    """
    at, end = place
    if not 0 <= count <= (end - at) // SMALLEST_RECORD:
        return None
    offsets, timestamps_ms = np.empty(count, np.int64), np.empty(count, np.int64)
    places = np.empty((count, PLACES), np.int64)
    good = _unpack(data, at, end, *offsets_from, base_ms, append_time, offsets, timestamps_ms, places)
    return (offsets, timestamps_ms, places) if good else None


def warm_up() -> None:
    """Compile, or load what was compiled before, where no event loop waits for it."""
    nothing = np.frombuffer(b"", np.uint8)
    unpacked(nothing, (0, 0), 0, (0, 0), 0)
    find_key(nothing, np.zeros((0, PLACES), np.int64), b"")
    _find_headers(
        nothing, np.zeros((0, PLACES), np.int64), nothing, np.zeros(1, np.int64), np.zeros((0, 0, 2), np.int64)
    )


def find_key(data: NDArray[np.uint8], places: NDArray[np.int64], key: bytes) -> NDArray[np.int64]:
    """Indices of the records of a block that have this key; arguments as of `find_headers`."""
    found = np.zeros(len(places), np.bool_)
    _find_key(data, places, np.frombuffer(key, np.uint8), found)
    return np.flatnonzero(found)


class HeaderNames:
    """Names to look for in records, as the compiled search takes them."""

    def __init__(self, *names: str) -> None:
        encoded = [name.encode() for name in names]
        self.text = np.frombuffer(b"".join(encoded), np.uint8)
        self.begins = np.cumsum([0, *map(len, encoded)], dtype=np.int64)

    def __len__(self) -> int:
        """How many."""
        return len(self.begins) - 1


def find_headers(data: NDArray[np.uint8], places: NDArray[np.int64], names: HeaderNames) -> NDArray[np.int64] | None:
    """Look for headers in every record of a block, all of them in one pass.

    Args:
        data: (bytes,) uint8, read-only.
        places: (n, 6) of the block.
        names: k names.

    Returns:
        First byte and size of the last header of each name, (k, n, 2) int64, size 0 for none; None when no record has
        headers.
    """
    if not places[:, HEADERS].any():
        return None
    found = np.zeros((len(names), len(places), 2), np.int64)
    _find_headers(data, places, names.text, names.begins, found)
    return found


def write_headers(headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    """Headers as they lie in a record, without their number."""
    packed = bytearray()
    for name, value in headers:
        encoded = name.encode()
        packed += write_varint(len(encoded)) + encoded
        packed += write_varint(-1) if value is None else write_varint(len(value)) + value
    return bytes(packed)


def read_headers(data: NDArray[np.uint8], at: int, count: int) -> tuple[tuple[str, bytes], ...]:
    """Headers that begin at a byte, which `unpacked` has read before; null values as `b""`."""
    octets = data.data
    headers = []
    for _ in range(count):
        size, at = _size(octets, at)
        name = str(octets[at : at + size], errors="replace")
        size, at = _size(octets, at + size)
        headers.append((name, bytes(octets[at : at + size])))
        at += size
    return tuple(headers)


def _size(octets: memoryview, at: int) -> tuple[int, int]:
    """The length that begins at `at`, 0 for null, and the place after it: without numba's way in, for single ones."""
    byte = octets[at]
    raw, shift = byte & _SEVEN_BITS, 7
    while byte >= _MORE:
        at += 1
        byte = octets[at]
        raw |= (byte & _SEVEN_BITS) << shift
        shift += 7
    return 0 if raw & 1 else (raw & _SIXTY_FOUR_BITS) >> 1, at + 1


def write_varint(number: int) -> bytes:
    """An integer as it lies in a record."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    packed = bytearray()
    while rest > _SEVEN_BITS:
        packed.append(rest & _SEVEN_BITS | _MORE)
        rest >>= 7
    packed.append(rest)
    return bytes(packed)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def varint(data: Any, at: int, end: int) -> tuple[int, int]:  # noqa: ANN401
    """The integer that begins at `at`, and the place after it, -1 for none."""
    raw = 0
    shift = 0
    while at < end and shift <= _LONGEST_SHIFT:
        byte = int(data[at])
        at += 1
        raw |= (byte & _SEVEN_BITS) << shift
        if byte < _MORE:
            return ((raw >> 1) & _WITHOUT_SIGN) ^ -(raw & 1), at
        shift += 7
    return 0, -1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _part(data: Any, at: int, end: int) -> tuple[int, int, int]:  # noqa: ANN401
    """First byte and size, -1 for null, of a part that begins with its length, and the place after it, -1 for none."""
    size, at = varint(data, at, end)
    if at < 0 or size < -1 or size > end - at:
        return 0, 0, -1
    return at, size, at + max(0, size)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _unpack(  # noqa: C901, PLR0911 - one pass over the bytes
    data: Any,  # noqa: ANN401
    at: int,
    end: int,
    base_offset: int,
    next_offset: int,
    base_ms: int,
    append_time: bool,  # noqa: FBT001
    offsets: Any,  # noqa: ANN401
    timestamps_ms: Any,  # noqa: ANN401
    places: Any,  # noqa: ANN401
) -> bool:
    """Fill the columns; False where the bytes from `at` to `end` are not exactly so many records."""
    offset = base_offset - 1
    for r in range(offsets.shape[0]):
        size, at = varint(data, at, end)
        if at < 0 or size < 1 or size > end - at:
            return False
        stop = at + size
        delta_ms, at = varint(data, at + 1, stop)
        if at < 0:
            return False
        delta, at = varint(data, at, stop)
        if at < 0 or not offset < base_offset + delta < next_offset:
            return False
        offset = base_offset + delta
        offsets[r] = offset
        timestamps_ms[r] = base_ms if append_time else base_ms + delta_ms
        places[r, KEY_AT], places[r, KEY_SIZE], at = _part(data, at, stop)
        if at < 0:
            return False
        places[r, VALUE_AT], places[r, VALUE_SIZE], at = _part(data, at, stop)
        if at < 0:
            return False
        headers, at = varint(data, at, stop)
        if at < 0 or headers < 0:
            return False
        places[r, HEADERS_AT], places[r, HEADERS] = at, headers
        for _ in range(headers):
            _, size, at = _part(data, at, stop)
            if at < 0 or size < 0:
                return False
            _, size, at = _part(data, at, stop)
            if at < 0:
                return False
        if at != stop:
            return False
    return at == end


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _find_headers(data: Any, places: Any, names: Any, begins: Any, found: Any) -> None:  # noqa: ANN401
    """Fill first byte and size of the last header with each name."""
    for r in range(places.shape[0]):
        after = places[r, HEADERS_AT]
        for _ in range(places[r, HEADERS]):
            name_at, name_size, after = _part(data, after, data.shape[0])
            at, size, after = _part(data, after, data.shape[0])
            for k in range(found.shape[0]):
                same = name_size == begins[k + 1] - begins[k]
                # From the end: names that we look for begin alike.
                for i in range(name_size - 1 if same else -1, -1, -1):
                    if data[name_at + i] != names[begins[k] + i]:
                        same = False
                        break
                if same:
                    found[k, r, 0], found[k, r, 1] = at, max(0, size)
                    break


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _find_key(data: Any, places: Any, key: Any, found: Any) -> None:  # noqa: ANN401
    """Mark the records with this key."""
    for r in range(places.shape[0]):
        if places[r, KEY_SIZE] == key.shape[0]:
            found[r] = True
            for i in range(key.shape[0]):
                if data[places[r, KEY_AT] + i] != key[i]:
                    found[r] = False
                    break
