"""Kafka's log in this process, as far as the bridges need it: for tests."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from schemas.partitioning import partition_of
from streams.log.record import LogRecord
from streams.log.writer import NewRecord


class MemoryLog:
    """Topics with partitions; durability can be held back.

    Attributes:
        records: Durable records by topic, in the order in which they became durable.
    """

    def __init__(self, partitions: int = 1) -> None:
        self._partitions = partitions
        self._waiting: list[tuple[asyncio.Future[tuple[int, int]], LogRecord]] = []
        self._held = False
        self._committed: dict[tuple[str, str], int] = {}
        self.records: dict[str, list[LogRecord]] = {}

    @property
    def waiting(self) -> int:
        """How many records are not durable yet."""
        return len(self._waiting)

    def hold(self) -> None:
        """Go away: what is sent from now on waits."""
        self._held = True

    def release(self) -> None:
        """Come back: what waited becomes durable."""
        self._held = False
        for durable, record in self._waiting:
            self._append(durable, record)
        self._waiting.clear()

    def fail(self, error: Exception) -> None:
        """Fail everything that waits."""
        for durable, _ in self._waiting:
            if not durable.done():
                durable.set_exception(error)
                durable.exception()
        self._waiting.clear()
        self._held = False

    def writer(self) -> "MemoryWriter":
        """A `Writer`."""
        return MemoryWriter(self)

    def reader(self, group: str, pattern: str) -> "MemoryReader":
        """A `Reader` of the topics that match `pattern`."""
        return MemoryReader(self, group, pattern)

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]
    ) -> asyncio.Future[tuple[int, int]]:
        """Queue one record."""
        durable: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        partition = partition_of(key, self._partitions) if key else 0
        record = LogRecord(topic, partition, 0, 0, key, value, tuple(headers))
        if self._held:
            self._waiting.append((durable, record))
        else:
            self._append(durable, record)
        return durable

    def read(self, group: str, pattern: str, positions: dict[str, int], most: int) -> list[LogRecord]:
        """Records after the positions of a reader."""
        found: list[LogRecord] = []
        for topic, records in self.records.items():
            if re.match(pattern, topic):
                start = positions.setdefault(topic, self._committed.get((group, topic), 0))
                new = records[start : start + most - len(found)]
                positions[topic] = start + len(new)
                found += new
        return found

    def commit(self, group: str, positions: dict[str, int]) -> None:
        """Remember the positions of a group."""
        self._committed |= {(group, topic): position for topic, position in positions.items()}

    def committed(self, group: str, topic: str) -> int:
        """How many records of `topic` the group is done with."""
        return self._committed.get((group, topic), 0)

    def _append(self, durable: asyncio.Future[tuple[int, int]], record: LogRecord) -> None:
        if durable.cancelled():
            return
        log = self.records.setdefault(record.topic, [])
        offset = sum(known.partition == record.partition for known in log)
        log.append(record._replace(offset=offset))
        durable.set_result((record.partition, offset))


class MemoryWriter:
    """A `Writer`."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def __aenter__(self) -> Self:
        """Connect."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Iterable[tuple[str, bytes]] = (),
        partition: int | None = None,  # noqa: ARG002 - the key decides
    ) -> asyncio.Future[tuple[int, int]]:
        """Queue one record."""
        await asyncio.sleep(0)
        return self._log.send(topic, key, value, headers)

    async def send_many(self, records: Sequence[NewRecord]) -> list[asyncio.Future[tuple[int, int]]]:
        """Queue records."""
        return [await self.send(topic, key, value, headers=headers) for topic, key, value, headers in records]


class MemoryReader:
    """A `Reader`."""

    def __init__(self, log: MemoryLog, group: str, pattern: str) -> None:
        self._log = log
        self._group = group
        self._pattern = pattern
        self._positions: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        """Join."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""

    async def read(self, max_records: int = 1000, timeout_s: float = 0.5) -> list[LogRecord]:
        """Next records."""
        found = self._log.read(self._group, self._pattern, self._positions, max_records)
        if not found:
            await asyncio.sleep(min(timeout_s, 0.005))
        return found

    async def commit(self) -> None:
        """Commit everything that was read."""
        self._log.commit(self._group, self._positions)
