"""Dead letters: the newest ones, and how many there were."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
import structlog

from schemas.messages import DeadLetter
from schemas.names import parse_type
from schemas.reasons import Reason
from streams.log.record import LogRecord

KEPT = 10_000
KEPT_BYTES = 64 * 1024 * 1024
_LABELS_LIMIT = 200
_OTHER = "other"
_REASONS = frozenset(reason.value for reason in Reason)

log = structlog.get_logger(__name__)


class Entry(NamedTuple):
    """A dead letter and its place; entries compare by time of writing."""

    timestamp_ms: int
    partition: int
    offset: int
    type: str
    reason: str
    raw: bytes

    @property
    def cursor(self) -> str:
        """Text that names this place."""
        return f"{self.timestamp_ms}-{self.partition}-{self.offset}"


def parse_cursor(text: str) -> tuple[int, int, int]:
    """Undo `Entry.cursor`.

    Raises:
        ValueError: `text` is no such thing.
    """
    timestamp_ms, partition, offset = map(int, text.split("-"))
    return timestamp_ms, partition, offset


class DeadLetters:
    """Follows `twinstream.deadletter`: keeps the newest, counts all."""

    def __init__(self, *, kept: int = KEPT, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._size_bytes = 0
        self._entries: list[Entry] = []
        self._labels: set[str] = set()
        self._malformed = 0
        self.counts: Counter[tuple[str, str]] = Counter()
        """How many there were in the log, by (type, reason)."""

    def apply(self, records: Iterable[LogRecord]) -> None:
        """Take in records of the topic, in any order of partitions."""
        for record in records:
            if record.value is None:
                continue
            try:
                letter = msgspec.json.decode(record.value, type=DeadLetter)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._report(record, error)
                continue
            self.counts[self._label(letter.type), letter.reason if letter.reason in _REASONS else _OTHER] += 1
            place = (record.timestamp_ms, record.partition, record.offset)
            heapq.heappush(self._entries, Entry(*place, letter.type, letter.reason, record.value))
            self._size_bytes += len(record.value)
            while len(self._entries) > self._kept or self._size_bytes > self._kept_bytes:
                self._size_bytes -= len(heapq.heappop(self._entries).raw)

    def newest(
        self, *, type_name: str = "", reason: str = "", after: tuple[int, int, int] | None = None
    ) -> Iterator[Entry]:
        """Those that are kept, newest first, older than the place `after`."""
        for entry in sorted(self._entries, reverse=True):
            if after is not None and entry[:3] >= after:
                continue
            if (not type_name or entry.type == type_name) and (not reason or entry.reason == reason):
                yield entry

    def _label(self, type_name: str) -> str:
        """A type as label of a metric: anybody may send any name, so their number is bounded."""
        if type_name in self._labels:
            return type_name
        try:
            parse_type(type_name)
        except ValueError:
            return _OTHER if type_name else ""
        if len(self._labels) >= _LABELS_LIMIT:
            return _OTHER
        self._labels.add(type_name)
        return type_name

    def _report(self, record: LogRecord, error: Exception) -> None:
        self.counts["", _OTHER] += 1
        self._malformed += 1
        if self._malformed == 1:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            log.warning("a record among the dead letters is none", record=place, error=str(error))
