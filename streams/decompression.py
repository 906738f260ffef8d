"""Decompression of record batches, bounded: what a few bytes swell to is decided here and not by whoever wrote them."""

import zlib
from collections.abc import Callable
from typing import Any

import aiokafka.record._crecords.default_records as compiled_records
import aiokafka.record._crecords.legacy_records as compiled_messages
import aiokafka.record.default_records as plain_records
import aiokafka.record.legacy_records as plain_messages
import cramjam
import numpy as np

LIMIT_BYTES = 32 * 1024 * 1024
"""Of one batch, decompressed: sixteen times the largest that an input topic takes."""

_XERIAL = b"\x82SNAPPY\x00"
"""Begins the framing of snappy that Java clients write: then two versions, and blocks after their sizes."""
_XERIAL_HEADER_BYTES = 16
_SIZE_BYTES = 4
_GZIP = 31
"""Of zlib: gzip's frame, and its largest window."""
_USUAL_RATIO = 16
_PAGE_BYTES = 64 * 1024


class TooLargeError(ValueError):
    """Decompressed it is larger than `LIMIT_BYTES`."""

    def __init__(self) -> None:
        super().__init__(f"more than {LIMIT_BYTES} bytes")


def gunzip(payload: bytes) -> bytes:
    """Undo gzip.

    Raises:
        ValueError: it is none, or swells beyond the limit.
    """
    parts: list[bytes] = []
    left, rest = LIMIT_BYTES, bytes(payload)
    while rest:
        decompressor = zlib.decompressobj(_GZIP)
        try:
            parts.append(decompressor.decompress(rest, left + 1))
        except zlib.error as error:
            raise ValueError(repr(error)) from None
        left -= len(parts[-1])
        if left < 0:
            raise TooLargeError
        if not decompressor.eof:
            message = "the end of gzip is missing"
            raise ValueError(message)
        rest = decompressor.unused_data.lstrip(b"\0")
    return b"".join(parts)


def unsnappy(payload: bytes) -> bytes:
    """Undo snappy, framed or not.

    Raises:
        ValueError: it is none, or swells beyond the limit.
    """
    payload = bytes(payload)
    if len(payload) <= _XERIAL_HEADER_BYTES or not payload.startswith(_XERIAL):
        return _raw_snappy(payload, LIMIT_BYTES)
    blocks: list[bytes] = []
    left, at = LIMIT_BYTES, _XERIAL_HEADER_BYTES
    while at < len(payload):
        size = int.from_bytes(payload[at : at + _SIZE_BYTES], "big", signed=True)
        at += _SIZE_BYTES
        if not 0 < size <= len(payload) - at:
            message = "a block of snappy has no such size"
            raise ValueError(message)
        blocks.append(_raw_snappy(payload[at : at + size], left))
        left -= len(blocks[-1])
        at += size
    return b"".join(blocks)


def unlz4(payload: bytes) -> bytes:
    """Undo LZ4's frames.

    Raises:
        ValueError: it is none, or swells beyond the limit.
    """
    return _into_buffer(cramjam.lz4.decompress_into, payload)


def unzstd(payload: bytes) -> bytes:
    """Undo Zstandard.

    Raises:
        ValueError: it is none, or swells beyond the limit.
    """
    return _into_buffer(cramjam.zstd.decompress_into, payload)


def bound_aiokafka() -> None:
    """Let aiokafka's own readers decompress by these functions from now on, in every consumer of this process."""
    for module in (compiled_records, plain_records, compiled_messages, plain_messages):
        module.gzip_decode, module.snappy_decode, module.lz4_decode = gunzip, unsnappy, unlz4
    for module in (compiled_records, plain_records):
        module.zstd_decode = unzstd


def _raw_snappy(block: bytes, limit_bytes: int) -> bytes:
    try:
        # It says at its beginning how much it will be, and that much is taken from the system.
        if cramjam.snappy.decompress_raw_len(block) > limit_bytes:
            raise TooLargeError
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise ValueError(repr(error)) from None


def _into_buffer(decompress: Callable[[Any, Any], int], payload: bytes) -> bytes:
    payload = bytes(payload)
    # A room that nearly all batches fit into costs less than the largest one, time and again.
    likely = min(max(_PAGE_BYTES, _USUAL_RATIO * len(payload)), LIMIT_BYTES)
    for room_bytes in dict.fromkeys((likely, LIMIT_BYTES)):
        room = np.empty(room_bytes, np.uint8)
        try:
            size = decompress(payload, room)
        except cramjam.DecompressionError as error:
            why = f"{error!r}, or more than {LIMIT_BYTES} bytes"
        else:
            return room[:size].tobytes()
    raise ValueError(why)
