"""Line protocol of a block, written by a compiled pass around numbers that orjson formats."""

from collections.abc import Container
from typing import Any

import numba
import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.line_protocol import escape_tag
from twins.prefixes import LinePrefixes

BLOCK_BYTES = 480 * 1024
"""Blocks of text are cut at the last line below this."""

_NULL, _COMMA, _BRACKET, _SPACE, _NEWLINE, _DOT, _ZERO, _ONE = b"n,] \n.01"
_BOOLEAN_BYTES = 3
_TEN = np.uint64(10)
_TIME_DIGITS = 20
_LINE_OVERHEAD = _TIME_DIGITS + 2


class LineWriter:
    """Writes lines of one type: a prefix per row (measurement and tags), a name per column, values, time.

    Args:
        measurement: Of every line.
        fields: Names of the columns.
        booleans: Those among them that hold nothing but 0 and 1.

    Attributes:
        prefixes: How the lines of each row begin; another writer's may take their place.
    """

    def __init__(self, measurement: str, fields: tuple[str, ...], booleans: Container[str] = ()) -> None:
        self.prefixes = LinePrefixes(measurement)
        names = [f"{escape_tag(field)}=".encode() for field in fields]
        self._names = np.frombuffer(b"".join(names), np.uint8)
        self._name_ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        self._names_bytes = sum(map(len, names)) + len(names)
        self._is_boolean = np.array([field in booleans for field in fields], np.bool_)
        self._numeric = np.flatnonzero(~self._is_boolean)
        # Kept from block to block: fresh memory of this size costs more than what is written into it.
        self._text = np.zeros(0, np.uint8)
        nothing = np.zeros(1, np.int64)
        self.write(nothing, nothing, np.zeros((1, len(fields))))  # compiles, where the event loop does not wait for it

    def write(
        self, slot: NDArray[np.int64], time_ns: NDArray[np.int64], values: NDArray[np.float64]
    ) -> list[tuple[bytes, int]]:
        """Text blocks for n records, each with the number of records whose lines are in it or in those before.

        Args:
            slot: (n,) rows.
            time_ns: (n,) time stamps.
            values: (n, fields or more), NaN leaves a field out.
        """
        fields = len(self._is_boolean)
        if not len(slot) or not fields:
            return []
        # Not the booleans: orjson takes its time with zeros.
        numeric = np.ascontiguousarray(values[:, self._numeric])
        numbers = np.frombuffer(orjson.dumps(numeric, option=orjson.OPT_SERIALIZE_NUMPY), np.uint8)
        prefixes = self.prefixes
        prefix_bytes = int((prefixes.ends[slot] - prefixes.starts[slot]).sum())
        line_bytes = self._names_bytes + _BOOLEAN_BYTES * (fields - len(self._numeric)) + _LINE_OVERHEAD
        room = len(numbers) + prefix_bytes + len(slot) * line_bytes
        if room > len(self._text):
            self._text = np.empty(room + room // 4, np.uint8)
        ends = np.empty(len(slot), np.int64)
        used = _weave(
            numbers,
            values,
            self._is_boolean,
            self._names,
            self._name_ends,
            prefixes.text,
            prefixes.starts,
            prefixes.ends,
            slot,
            time_ns,
            self._text,
            ends,
        )
        return _cut(self._text[:used], ends)


def _cut(whole: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[tuple[bytes, int]]:
    blocks = []
    start = 0
    while start < len(whole):
        last = int(np.searchsorted(ends, start + BLOCK_BYTES, side="right")) - 1
        end = int(ends[last]) if last >= 0 and ends[last] > start else len(whole)
        blocks.append((whole[start:end].tobytes(), int(np.searchsorted(ends, end, side="right"))))
        start = end
    return blocks


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _weave(  # noqa: C901, PLR0912, PLR0915 - one pass over the bytes
    numbers: Any,  # noqa: ANN401
    values: Any,  # noqa: ANN401
    is_boolean: Any,  # noqa: ANN401
    names: Any,  # noqa: ANN401
    name_ends: Any,  # noqa: ANN401
    prefixes: Any,  # noqa: ANN401
    starts: Any,  # noqa: ANN401
    ends: Any,  # noqa: ANN401
    slot: Any,  # noqa: ANN401
    time_ns: Any,  # noqa: ANN401
    text: Any,  # noqa: ANN401
    line_ends: Any,  # noqa: ANN401
) -> int:
    """Weave `[[1.5,2.0],…]`, and booleans from `values`, with prefixes, names and times; return the bytes written."""
    # Indices are unsigned all along: a signed one is checked at every access for being negative, in twice the time.
    one = np.uintp(1)
    at = one  # past the outer bracket
    out = np.uintp(0)
    for r in range(slot.shape[0]):
        line_start = out
        for i in range(np.uintp(starts[slot[r]]), np.uintp(ends[slot[r]])):
            text[out] = prefixes[i]
            out += one
        first = True
        name_start = np.uintp(0)
        for column in range(name_ends.shape[0]):
            name_end = np.uintp(name_ends[column])
            if is_boolean[column]:
                present = not np.isnan(values[r, column])
            else:
                at += one  # past the inner bracket or the comma
                present = numbers[at] != _NULL  # the n of null
                if not present:
                    at += np.uintp(4)
            if present:
                text[out] = _SPACE if first else _COMMA
                out += one
                first = False
                for i in range(name_start, name_end):
                    text[out] = names[i]
                    out += one
                if is_boolean[column]:
                    text[out] = _ONE if values[r, column] else _ZERO
                    text[out + one] = _DOT
                    text[out + one + one] = _ZERO
                    out += np.uintp(_BOOLEAN_BYTES)
                else:
                    while numbers[at] != _COMMA and numbers[at] != _BRACKET:
                        text[out] = numbers[at]
                        out += one
                        at += one
            name_start = name_end
        at += one + one  # past the inner bracket and what follows it
        if first:
            out = line_start  # no field, no line
        else:
            text[out] = _SPACE
            out += one
            rest = np.uint64(time_ns[r])
            count = one
            while rest >= _TEN:
                rest //= _TEN
                count += one
            rest = np.uint64(time_ns[r])
            out += count
            for i in range(count):
                text[out - one - i] = _ZERO + rest % _TEN
                rest //= _TEN
            text[out] = _NEWLINE
            out += one
        line_ends[r] = out
    return np.int64(out)  # type: ignore[return-value]
