"""The latest row of every twin, kept as bytes."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from infra.http.rows import RowReader
from schemas.topics import type_of_topic
from streams.log.record import LogRecord
from streams.processor import RESERVED_KEY_PREFIX
from twins.layout import TwinState

STATE_PATTERN = r"^twinstream\.[a-z0-9_-]+\.state$"

Changed = Callable[[str, str, bytes | None], None]
"""Called with type, twin id and the new row, None when the twin was deleted."""


@dataclass(slots=True)
class _Rows:
    """Rows of one type.

    Attributes:
        partitions: Where each twin's row is.
        seen: Offset of the last record of each partition.
        ordered: Twin ids in order, as far as `sorted` says.
    """

    rows: dict[str, bytes] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    ordered: list[str] = field(default_factory=list)
    sorted: bool = True

    def ids(self) -> list[str]:
        if not self.sorted:
            self.ordered = sorted(self.rows)
            self.sorted = True
        return self.ordered


class StateTable:
    """Follows the state topics: rows stay bytes until somebody asks, so that fast twins cost no decoding."""

    def __init__(self, reader: RowReader, changed: Changed | None = None) -> None:
        self._reader = reader
        self._changed = changed
        self._types: dict[str, _Rows] = {}
        self._waiting: dict[tuple[str, str], list[tuple[int, asyncio.Future[None]]]] = {}

    def apply(self, records: Iterable[LogRecord]) -> None:
        """Take in records of state topics, each partition's in order."""
        for record in records:
            type_name = type_of_topic(record.topic)
            rows = self._types.setdefault(type_name, _Rows())
            if record.offset <= rows.seen.get(record.partition, -1):
                self._begin_anew(type_name, rows, record.partition)
            rows.seen[record.partition] = record.offset
            if record.key is None:
                continue
            if record.key.startswith(RESERVED_KEY_PREFIX):
                self._reader.learn(type_name, record.key, record.value)
                continue
            twin = record.key.decode(errors="replace")
            if record.value is not None:
                rows.partitions[twin] = record.partition
            self._put(rows, twin, record.value)
            if self._changed is not None:
                self._changed(type_name, twin, record.value)
            if (type_name, twin) in self._waiting:
                self._wake(type_name, twin)

    def _begin_anew(self, type_name: str, rows: _Rows, partition: int) -> None:
        """Forget the rows of a partition that is read from an earlier offset: its topic was deleted and made anew."""
        for twin in [twin for twin in rows.rows if rows.partitions[twin] == partition]:
            self._put(rows, twin, None)
            if self._changed is not None:
                self._changed(type_name, twin, None)

    @staticmethod
    def _put(rows: _Rows, twin: str, value: bytes | None) -> None:
        if value is not None:
            rows.sorted = rows.sorted and twin in rows.rows
            rows.rows[twin] = value
        elif rows.rows.pop(twin, None) is not None:
            del rows.partitions[twin]
            rows.sorted = False

    def raw(self, type_name: str, twin: str) -> bytes | None:
        """Row bytes of one twin."""
        rows = self._types.get(type_name)
        return rows.rows.get(twin) if rows else None

    def twin(self, type_name: str, twin: str) -> TwinState | None:
        """One twin, None when there is none."""
        value = self.raw(type_name, twin)
        return None if value is None else self.read(type_name, value)

    def read(self, type_name: str, value: bytes) -> TwinState | None:
        """The twin in a row's bytes, None when they can't be read."""
        return self._reader.read(type_name, value)

    def count(self, type_name: str) -> int:
        """How many twins a type has."""
        rows = self._types.get(type_name)
        return len(rows.rows) if rows else 0

    def statuses(self, type_name: str) -> dict[str, int]:
        """How many twins of a type have each status; from any thread."""
        rows = self._types.get(type_name)
        return self._reader.statuses(type_name, list(rows.rows.values()) if rows else [])

    def page(self, type_name: str, after: str, limit: int) -> list[str]:
        """Up to `limit` twin ids of a type, in order, from the first one after `after` (`""`: from the start)."""
        rows = self._types.get(type_name)
        if rows is None:
            return []
        ids = rows.ids()
        start = bisect_right(ids, after) if after else 0
        return ids[start : start + limit]

    async def wait_applied(self, type_name: str, twin: str, offset: int, timeout_s: float) -> bool:
        """Wait until a twin's row shows that the input up to `offset` of its partition was applied to it.

        Returns:
            False when `timeout_s` passed first.
        """
        if self._shows(type_name, twin, offset):
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault((type_name, twin), [])
        waiters.append((offset, future))
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return False
        else:
            return True
        finally:
            waiters.remove((offset, future))
            if not waiters:
                self._waiting.pop((type_name, twin), None)

    def _shows(self, type_name: str, twin: str, offset: int) -> bool:
        state = self.twin(type_name, twin)
        return state is not None and state.offset >= offset

    def _wake(self, type_name: str, twin: str) -> None:
        for offset, future in self._waiting[type_name, twin]:
            if not future.done() and self._shows(type_name, twin, offset):
                future.set_result(None)
