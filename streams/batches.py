"""Record batches in the bytes of a fetch: what their headers say, and their records as columns.

Source: Apache Kafka's protocol guide, section "Record Batch". Versions 0 and 1, message sets of logs written before
Kafka 0.11, are left to aiokafka, which makes an object per record.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import google_crc32c
import numpy as np
from aiokafka.errors import CorruptRecordException
from aiokafka.record.legacy_records import LegacyRecordBatch
from numpy.typing import NDArray

from streams import decompression, unpacking
from streams.block import Block

_LENGTH = struct.Struct(">qi")
"""Base offset and the number of bytes that follow."""
_MAGIC_AT = 16
_HEADER = struct.Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, base and largest time stamp, producer's
id and epoch, base sequence, number of records."""
_CHECKED_AT = 21
"""The CRC covers everything from the attributes on."""
_VERSION = 2

_CODEC, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_DECODERS: dict[int, Callable[[bytes], bytes]] = {
    1: decompression.gunzip,
    2: decompression.unsnappy,
    3: decompression.unlz4,
    4: decompression.unzstd,
}


decompression.bound_aiokafka()


class UnreadableBatchError(Exception):
    """A record batch whose records nobody can read."""


class Batch(ABC):
    """A record batch as it was fetched.

    Attributes:
        raw: Its bytes.
        base_offset: Of its first record, also where compaction took that away.
        next_offset: After its last record.
        timestamp_ms: Time of writing of its first record.
        producer_id: Who wrote it, -1 for a producer without id.
        is_transactional: Whether it is part of a transaction.
        is_control: Whether it ends a transaction, and holds no records for consumers.
        is_compressed: Whether its records take other room than its bytes.
    """

    raw: memoryview
    base_offset: int
    next_offset: int
    timestamp_ms: int = 0
    producer_id: int = -1
    is_transactional: bool = False
    is_control: bool = False
    is_compressed: bool = False

    @abstractmethod
    def is_intact(self) -> bool:
        """Whether its checksum fits."""

    @abstractmethod
    def block(self, partition: int) -> Block:
        """Its records.

        Raises:
            UnreadableBatchError: they can't be read.
        """


def batches_of(data: bytes) -> Iterator[Batch]:
    """The whole batches in the bytes of a fetch; the broker cuts the last one where it likes."""
    array = np.frombuffer(data, np.uint8)
    at = 0
    while len(data) - at > _MAGIC_AT:
        _, length = _LENGTH.unpack_from(data, at)
        end = at + _LENGTH.size + length
        if length < 0 or end > len(data):
            return
        if data[at + _MAGIC_AT] < _VERSION:
            yield MessageSet(memoryview(data)[at:end], data[at + _MAGIC_AT])
        else:
            yield RecordBatch(data, array, at, end)
        at = end


class RecordBatch(Batch):
    """A batch of version 2."""

    def __init__(self, data: bytes, array: NDArray[np.uint8], at: int, end: int) -> None:
        self.raw = memoryview(data)[at:end]
        self._array, self._at, self._end = array, at, end
        header = self.raw[: _HEADER.size].tobytes().ljust(_HEADER.size, b"\0")
        (self.base_offset, _, _, self._version, self._crc, attributes, last_delta, base_ms, largest_ms) = (
            _HEADER.unpack(header)[:9]
        )
        self.producer_id, _, _, self._count = _HEADER.unpack(header)[9:]
        self.next_offset = self.base_offset + max(0, last_delta) + 1
        self._codec = attributes & _CODEC
        self.is_compressed = bool(self._codec)
        self._append_time = bool(attributes & _APPEND_TIME)
        self.timestamp_ms = largest_ms if self._append_time else base_ms
        self.is_transactional = bool(attributes & _TRANSACTIONAL)
        self.is_control = bool(attributes & _CONTROL)

    def is_intact(self) -> bool:
        """Whether its checksum fits."""
        intact: bool = google_crc32c.value(self._array[self._at + _CHECKED_AT : self._end]) == self._crc
        return intact

    def block(self, partition: int) -> Block:
        """Its records."""
        if self._version != _VERSION:
            raise UnreadableBatchError(f"unknown version {self._version}")
        data, place = self._array, (self._at + _HEADER.size, self._end)
        if self._codec:
            data = self._uncompressed()
            place = (0, len(data))
        offsets = (self.base_offset, self.next_offset)
        columns = unpacking.unpacked(
            data, place, self._count, offsets, self.timestamp_ms, append_time=self._append_time
        )
        if columns is None:
            raise UnreadableBatchError(f"it does not hold the {self._count} records that it tells of")
        return Block(partition, self.base_offset, self.next_offset, data, *columns)

    def _uncompressed(self) -> NDArray[np.uint8]:
        decode = _DECODERS.get(self._codec)
        if decode is None:
            raise UnreadableBatchError(f"unknown compression codec {self._codec}")
        try:
            return np.frombuffer(decode(self.raw[_HEADER.size :].tobytes()), np.uint8)
        except ValueError as error:
            raise UnreadableBatchError(f"compressed records can't be decoded: {error}") from error


class MessageSet(Batch):
    """A message of version 0 or 1, by itself or compressed with others."""

    is_compressed = True

    def __init__(self, raw: memoryview, version: int) -> None:
        self.raw = raw
        self.base_offset, _ = _LENGTH.unpack_from(raw)
        self.next_offset = self.base_offset + 1
        self._version = version

    def is_intact(self) -> bool:
        """Whether its checksum fits."""
        try:
            intact: bool = self._messages().validate_crc()
        except (CorruptRecordException, SystemError):
            return False  # a length in it leads beyond its end, or back before its beginning
        return intact

    def block(self, partition: int) -> Block:
        """Its records."""
        try:
            records = [
                (record.offset, record.timestamp or 0, record.key, record.value, ()) for record in self._messages()
            ]
        except Exception as error:
            # Each codec's library has errors of its own.
            raise UnreadableBatchError(f"messages of version {self._version} can't be decoded: {error!r}") from error
        return Block.of_records(partition, records)

    def _messages(self) -> Any:  # noqa: ANN401
        return LegacyRecordBatch(self.raw, self._version)
