"""The compiled passes of the account: which source a record is from, and counters that follow each other.

All of it stands in one file: numba keeps compiled code by the time stamp of the function's own file.
"""

from typing import Any

import numba
import numpy as np

UNREADABLE = -2
"""In place of a counter that can't be read."""

KEY_BITS = -2
"""Of a row's key: the lowest tells whether the counter 0 came, too, with which some devices begin."""

_COLON = ord(":")


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def find_sources(data: Any, found: Any, texts: Any, ends: Any, empty: int, sources: Any) -> None:  # noqa: ANN401
    """Which of the known sources each record names, up to a colon; -1 for none of them.

    Args:
        data: (bytes,) that the headers lie in.
        found: (n, 2) first byte and size of the header.
        texts: (bytes,) the known ones.
        ends: (k,) where each ends in `texts`.
        empty: What stands for no header.
        sources: (n,) is filled.
    """
    last = 0
    for r in range(found.shape[0]):
        at, size = found[r, 0], found[r, 1]
        if size == 0:
            sources[r] = empty
            continue
        sources[r] = -1
        for turn in range(ends.shape[0]):
            k = last + turn if last + turn < ends.shape[0] else last + turn - ends.shape[0]
            first = ends[k - 1] if k > 0 else 0
            length = ends[k] - first
            if length > size or (length < size and data[at + length] != _COLON):
                continue
            same = True
            for i in range(length):
                if data[at + i] != texts[first + i]:
                    same = False
                    break
            if same:
                sources[r] = k
                last = k
                break


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def advance(
    start: int,
    slot: Any,  # noqa: ANN401
    keys: Any,  # noqa: ANN401
    seq: Any,  # noqa: ANN401
    sources: Any,  # noqa: ANN401
    row_keys: Any,  # noqa: ANN401
    row_seqs: Any,  # noqa: ANN401
    expected: Any,  # noqa: ANN401
    may_begin: bool,  # noqa: FBT001
) -> int:
    """Enter counters that follow the one before, from the record `start` on; return the first that does not, or n.

    Args:
        start: Index.
        slot: (n,) rows, -1 for none.
        keys: (n,) hash of source and boot, of these bits.
        seq: (n,) counters, -1 for none.
        sources: (n,) index of the source.
        row_keys: (rows,) hash that each row's counter belongs to, and the lowest bit.
        row_seqs: (rows,) highest counter of each row.
        expected: (sources,) is raised.
        may_begin: Whether nothing is known of twins whose rows know nothing.
    """
    count: int = seq.shape[0]
    for r in range(start, count):
        number = seq[r]
        if number >= 0:
            s = slot[r]
            if s < 0:
                return r
            if row_keys[s] == 0 and may_begin and number <= 1:
                row_keys[s] = keys[r] + 1 - number
                row_seqs[s] = number
                expected[sources[r]] += 1
                continue
            if row_keys[s] & KEY_BITS != keys[r] or row_seqs[s] + 1 != number:
                return r
            row_seqs[s] = number
        if number != UNREADABLE:
            expected[sources[r]] += 1
    return count


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def expect(
    rate_hz: float,
    slot: Any,  # noqa: ANN401
    seq: Any,  # noqa: ANN401
    sources: Any,  # noqa: ANN401
    codes: Any,  # noqa: ANN401
    received_ns: Any,  # noqa: ANN401
    repeated: Any,  # noqa: ANN401
    row_keys: Any,  # noqa: ANN401
    firsts_ns: Any,  # noqa: ANN401
    came: Any,  # noqa: ANN401
    due: Any,  # noqa: ANN401
    missing: Any,  # noqa: ANN401
) -> None:
    """Count how many messages without a counter should have come by now, and did not.

    Args:
        rate_hz: How many a twin sends per second.
        slot: (n,) rows, -1 for none.
        seq: (n,) counters, -1 for none: the others are passed over.
        sources: (n,) index of the source.
        codes: (sources,) hash of each.
        received_ns: (n,) arrival.
        repeated: (n,) whether it had come before.
        row_keys: (rows,) hash of the source that the following are of.
        firsts_ns: (rows,) arrival of the first.
        came: (rows,) how many came.
        due: (rows,) how many were expected, never fewer than came.
        missing: (sources,) is raised, and lowered where more come than were expected since.
    """
    for r in range(seq.shape[0]):
        s = slot[r]
        if seq[r] != -1 or s < 0 or repeated[r]:
            continue
        if row_keys[s] != codes[sources[r]]:
            row_keys[s] = codes[sources[r]]
            firsts_ns[s] = received_ns[r]
            came[s] = 0
            due[s] = 0
        came[s] += 1
        by_rate = int((received_ns[r] - firsts_ns[s]) * rate_hz / 1e9) + 1
        now = max(due[s], came[s], by_rate)
        missing[sources[r]] += now - due[s] - 1
        due[s] = now


def warm_up() -> None:
    """Compile, or load what was compiled before, where no event loop waits for it."""
    nothing, none = np.zeros(0, np.int64), np.zeros((0, 2), np.int64)
    text = np.frombuffer(b"", np.uint8)
    find_sources(text, none, text, nothing, 0, nothing)
    # Columns of rows, of which numba sees that they are no plain arrays where there are two.
    row = np.zeros(2, [("key", "i8"), ("seq", "i8")])
    advance(0, nothing, nothing, nothing, nothing, row["key"], row["seq"], nothing, True)  # noqa: FBT003 - by position alone
    rated = np.zeros(2, [(name, "i8") for name in "abcd"])
    columns = (rated[name] for name in "abcd")
    expect(1.0, nothing, nothing, nothing, nothing, nothing, np.zeros(0, np.bool_), *columns, nothing)
