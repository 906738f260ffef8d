"""The compiled pass over flat JSON.

All of it stands in one file: numba keeps compiled code by the time stamp of the function's own file, and would run on
with what a function of another file was before.
"""

from typing import Any

import numba
import numpy as np

FLOAT, INT, BOOL, TIME, SEQ, BOOT, OTHER = range(7)
"""Kinds of fields; `OTHER` is one that is not declared."""

_MOST_OTHERS = 16
"""A record with more fields that are not declared is left alone."""
_NUMBER_BYTES, _EXPONENT_DIGITS = 100, 2
"""What a double surely holds."""

_EXACT_INTEGER = 2**53
_EXACT_POWER = 22
_MANTISSA_LIMIT = (2**63 - 1) // 10
"""One more digit still fits an int64."""

_POWERS = np.array([float(10**exponent) for exponent in range(_EXACT_POWER + 1)])
_QUOTE, _COMMA, _COLON, _OPEN, _CLOSE, _MINUS, _PLUS, _DOT, _ZERO, _NINE = b'",:{}-+.09'
_BACKSLASH, _SPACE, _DELETE = b"\\ \x7f"
_SMALL_E, _LARGE_E, _T, _F, _R, _U, _A, _L, _S = b"eEtfruals"


# Places are unsigned where a byte is read: a signed one is checked for being negative each time.


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _skip(text: Any, at: int, end: int) -> int:  # noqa: ANN401
    """Past the white space of JSON."""
    while at < end and (text[np.uintp(at)] == 32 or 9 <= text[np.uintp(at)] <= 10 or text[np.uintp(at)] == 13):  # noqa: PLR2004 - characters
        at += 1
    return at


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _string_end(text: Any, at: int, end: int) -> int:  # noqa: ANN401
    """Where the plain string that begins at `at` ends, -1 for one with anything but printable ASCII."""
    while at < end and text[np.uintp(at)] != _QUOTE:
        if text[np.uintp(at)] < _SPACE or text[np.uintp(at)] >= _DELETE or text[np.uintp(at)] == _BACKSLASH:
            return -1
        at += 1
    return at if at < end else -1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _field(text: Any, start: int, end: int, names: Any, name_ends: Any, likely: int) -> tuple[int, int]:  # noqa: ANN401
    """Number of the field whose name begins at `start`, and the place of the quote after it, -1 for none.

    `likely` is tried first.
    """
    fields = name_ends.shape[0]
    for turn in range(fields):
        number = likely + turn if likely + turn < fields else likely + turn - fields
        first = name_ends[number - 1] if number > 0 else 0
        after = start + name_ends[number] - first
        if after < end and text[np.uintp(after)] == _QUOTE:
            same = True
            for i in range(after - start):
                if names[np.uintp(first + i)] != text[np.uintp(start + i)]:
                    same = False
                    break
            if same:
                return number, after
    return -1, start


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _digits(text: Any, at: int, end: int, mantissa: int) -> tuple[int, int]:  # noqa: ANN401
    """Append digits to `mantissa`; return it, -1 for too many, and the place after them."""
    while at < end and _ZERO <= text[np.uintp(at)] <= _NINE:
        if mantissa >= _MANTISSA_LIMIT:
            return -1, at
        mantissa = mantissa * 10 + int(text[np.uintp(at)]) - _ZERO
        at += 1
    return mantissa, at


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _whole(text: Any, at: int, end: int) -> tuple[int, int]:  # noqa: ANN401
    """A whole number without sign: its value, -1 for none, and the place after it."""
    value, after = _digits(text, at, end, 0)
    if after == at or (after - at > 1 and text[np.uintp(at)] == _ZERO):
        return -1, at
    return value, after


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _number(text: Any, at: int, end: int, whole_only: bool) -> tuple[bool, float, int]:  # noqa: ANN401, FBT001
    """A number that a double holds after one exact multiplication or division, and the place after it.

    Source: W. D. Clinger, How to read floating point numbers accurately, PLDI 1990: a mantissa below 2^53 and a power
    of ten up to 22 are exact doubles, so that their product or quotient is rounded once.
    """
    negative = at < end and text[np.uintp(at)] == _MINUS
    if negative:
        at += 1
    mantissa, at = _whole(text, at, end)
    if mantissa < 0:
        return False, 0.0, at
    power = 0
    if at < end and text[np.uintp(at)] == _DOT:
        start = at + 1
        mantissa, at = _digits(text, start, end, mantissa)
        if mantissa < 0 or at == start or whole_only:
            return False, 0.0, at
        power = start - at
    if at < end and (text[np.uintp(at)] == _SMALL_E or text[np.uintp(at)] == _LARGE_E):
        at += 1
        down = at < end and text[np.uintp(at)] == _MINUS
        if at < end and (down or text[np.uintp(at)] == _PLUS):
            at += 1
        exponent, after = _digits(text, at, end, 0)
        if exponent < 0 or after == at or exponent > 1000 or whole_only:  # noqa: PLR2004 - far beyond any double
            return False, 0.0, at
        at = after
        power += -exponent if down else exponent
    if negative and mantissa == 0:
        return False, 0.0, at  # minus zero is 0 to some and -0.0 to others
    if mantissa >= _EXACT_INTEGER or power > _EXACT_POWER or power < -_EXACT_POWER:
        return False, 0.0, at
    value = mantissa / _POWERS[-power] if power < 0 else mantissa * _POWERS[power]
    return True, -value if negative else value, at


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _boolean(text: Any, at: int, end: int) -> tuple[int, int]:  # noqa: ANN401
    """1 for true, 0 for false, -1 for neither, and the place after it."""
    if (
        end - at >= 4  # noqa: PLR2004
        and text[np.uintp(at)] == _T
        and text[np.uintp(at + 1)] == _R
        and text[np.uintp(at + 2)] == _U
        and text[np.uintp(at + 3)] == _SMALL_E
    ):
        return 1, at + 4
    if (
        end - at >= 5  # noqa: PLR2004
        and text[np.uintp(at)] == _F
        and text[np.uintp(at + 1)] == _A
        and text[np.uintp(at + 2)] == _L
        and text[np.uintp(at + 3)] == _S
        and text[np.uintp(at + 4)] == _SMALL_E
    ):
        return 0, at + 5
    return -1, at


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _past_digits(text: Any, at: int, end: int) -> int:  # noqa: ANN401
    while at < end and _ZERO <= text[np.uintp(at)] <= _NINE:
        at += 1
    return at


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _past_number(text: Any, at: int, end: int) -> int:  # noqa: ANN401
    """The place after a number that a double can hold, however inexactly, -1 for none."""
    start = at
    if at < end and text[np.uintp(at)] == _MINUS:
        at += 1
    first = at
    at = _past_digits(text, at, end)
    if at == first or (at - first > 1 and text[np.uintp(first)] == _ZERO):
        return -1
    if at < end and text[np.uintp(at)] == _DOT:
        first, at = at + 1, _past_digits(text, at + 1, end)
        if at == first:
            return -1
    if at < end and (text[np.uintp(at)] == _SMALL_E or text[np.uintp(at)] == _LARGE_E):
        at += 1
        if at < end and (text[np.uintp(at)] == _MINUS or text[np.uintp(at)] == _PLUS):
            at += 1
        first, at = at, _past_digits(text, at, end)
        if at == first or at - first > _EXPONENT_DIGITS:
            return -1
    return at if at - start <= _NUMBER_BYTES else -1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _past_value(text: Any, at: int, end: int) -> int:  # noqa: ANN401
    """The place after a plain value that nobody asks for, -1 for any other."""
    if at >= end:
        return -1
    byte = text[np.uintp(at)]
    if byte == _QUOTE:
        at = _string_end(text, at + 1, end)
        return at + 1 if at >= 0 else -1
    if byte in (_T, _F):
        switch, at = _boolean(text, at, end)
        return at if switch >= 0 else -1
    after: int = _past_number(text, at, end)
    return after


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _is_among(text: Any, at: int, end: int, others: Any, count: int) -> bool:  # noqa: ANN401
    """Whether a name is one of the first few of those at `others`."""
    for number in range(count):
        start = others[number, 0]
        if others[number, 1] - start != end - at:
            continue
        same = True
        for i in range(end - at):
            if text[np.uintp(start + i)] != text[np.uintp(at + i)]:
                same = False
                break
        if same:
            return True
    return False


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def scan(  # noqa: C901, PLR0912, PLR0915 - one pass over the bytes
    text: Any,  # noqa: ANN401
    starts: Any,  # noqa: ANN401
    ends: Any,  # noqa: ANN401
    names: Any,  # noqa: ANN401
    name_ends: Any,  # noqa: ANN401
    kinds: Any,  # noqa: ANN401
    missing_is_fine: bool,  # noqa: FBT001
    extra_is_fine: bool,  # noqa: FBT001
    understood: Any,  # noqa: ANN401
    inputs: Any,  # noqa: ANN401
    time_ns: Any,  # noqa: ANN401
    seq: Any,  # noqa: ANN401
    boots: Any,  # noqa: ANN401
) -> tuple[bool, int]:
    """Fill the columns; tell whether any record names its boot, and how many fields were passed over."""
    fields = kinds.shape[0]
    seen = np.empty(fields, np.bool_)
    others = np.empty((_MOST_OTHERS, 2), np.int64)
    any_boot = False
    passed_over = 0
    for r in range(ends.shape[0]):
        at, end = starts[r], ends[r]
        time_ns[r] = -1
        seq[r] = -1
        for number in range(fields):
            seen[number] = False
        for number in range(inputs.shape[1]):
            inputs[r, number] = np.nan
        at = _skip(text, at, end)
        if at >= end or text[np.uintp(at)] != _OPEN:
            continue
        at += 1
        likely = passed = 0
        complete = False
        while True:
            at = _skip(text, at, end)
            if at >= end or text[np.uintp(at)] != _QUOTE:
                break
            number, at = _field(text, at + 1, end, names, name_ends, likely)
            if number >= 0:
                if seen[number]:
                    break
                seen[number] = True
                likely = number + 1
            else:
                name_at, at = at, _string_end(text, at, end)
                if (
                    not extra_is_fine
                    or at < 0
                    or passed == _MOST_OTHERS
                    or _is_among(text, name_at, at, others, passed)
                ):
                    break
                others[passed, 0], others[passed, 1] = name_at, at
                passed += 1
            at = _skip(text, at + 1, end)
            if at >= end or text[np.uintp(at)] != _COLON:
                break
            at = _skip(text, at + 1, end)
            kind = kinds[number] if number >= 0 else OTHER
            if kind == OTHER:
                at = _past_value(text, at, end)
                if at < 0:
                    break
            elif kind in (FLOAT, INT):
                good, value, at = _number(text, at, end, kind == INT)
                if not good:
                    break
                inputs[r, number] = value
            elif kind == BOOL:
                switch, at = _boolean(text, at, end)
                if switch < 0:
                    break
                inputs[r, number] = switch
            elif kind == BOOT:
                if at >= end or text[np.uintp(at)] != _QUOTE:
                    break
                boots[r, 0] = at + 1
                at = _string_end(text, at + 1, end)
                if at < 0:
                    break
                boots[r, 1] = at
                at += 1
                any_boot = True
            else:
                whole, at = _whole(text, at, end)
                if whole < 0:
                    break
                if kind == TIME:
                    time_ns[r] = whole
                else:
                    seq[r] = whole
            at = _skip(text, at, end)
            if at >= end:
                break
            if text[np.uintp(at)] == _CLOSE:
                complete = _skip(text, at + 1, end) == end
                break
            if text[np.uintp(at)] != _COMMA:
                break
            at += 1
        if complete and not missing_is_fine:
            for number in range(inputs.shape[1]):
                complete = complete and seen[number]
        understood[r] = complete
        if complete:
            passed_over += passed
    return any_boot, passed_over
