"""Reading what a foreign publisher may put into a frame and no text or time can hold.

pamqp, below aio-pika, refuses a frame whose routing key or header is no UTF-8, or whose time stamp no calendar knows
(nanoseconds, for example). aiormq then closes the connection; the broker delivers the message again on the next, and
one such message would stop the bridge for ever. So these fields are read leniently, and the message goes its way: to
the dead letters when it is the routing key that makes no sense.
"""

import struct
from collections.abc import Callable
from typing import Any

from pamqp import decode

_Decoder = Callable[[bytes], tuple[int, Any]]
_LONG = struct.Struct(">I")
_TIMESTAMP_BYTES = 8


def tolerate_foreign_fields() -> None:
    """Replace pamqp's decoders for this process; calling it again changes nothing."""
    decode.METHODS["shortstr"] = short_string
    decode.METHODS["timestamp"] = decode.TABLE_MAPPING[b"T"] = timestamp
    decode.METHODS["table"] = table


def short_string(value: bytes) -> tuple[int, str]:
    r"""A string of at most 255 bytes; those that are no UTF-8 as `\xNN`."""
    length = value[0]
    return length + 1, value[1 : length + 1].decode(errors="backslashreplace")


def timestamp(value: bytes) -> tuple[int, Any]:
    """A time, None when no calendar knows it."""
    return _or_nothing(decode.timestamp, value, (_TIMESTAMP_BYTES, None))


def table(value: bytes) -> tuple[int, Any]:
    """A table of headers, empty when it can't be read: no header changes what a message means."""
    return _or_nothing(decode.field_table, value, (_LONG.size + int(_LONG.unpack_from(value)[0]), {}))


def _or_nothing(decoder: _Decoder, value: bytes, otherwise: tuple[int, Any]) -> tuple[int, Any]:
    try:
        return decoder(value)
    except (ValueError, OverflowError, OSError):
        return otherwise
