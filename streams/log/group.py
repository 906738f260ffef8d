"""Reading in a consumer group, committing by hand."""

import contextlib
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from streams.log.client import KafkaOptions
from streams.log.record import LogRecord, log_record
from streams.log.retry import retrying

_GATHERED_BYTES: Final = 64 * 1024


class Bounds(NamedTuple):
    """Of one partition.

    Attributes:
        first: The oldest offset that retention has left.
        done: Next offset after what was committed, or read and not yet committed; None for nothing.
        end: Next offset that will be written.
    """

    first: int
    done: int | None
    end: int


class GroupReader:
    """A member of a consumer group that reads committed records, from the earliest on.

    After a rebalance, records that were read and not committed come again, here or elsewhere.

    Args:
        member: Name that nobody else in the group has at the same time. Who comes back under the name of a member that
            was killed takes its place at once, instead of waiting until the broker has given that one up.
        gather_s: So long records may wait for others, up to 64 kB of them: each fetch costs the broker and this process
            as much as many records.
    """

    def __init__(
        self,
        options: KafkaOptions,
        *,
        group: str,
        topics: Iterable[str] = (),
        pattern: str = "",
        session_timeout_s: float = 10.0,
        member: str = "",
        gather_s: float = 0.0,
    ) -> None:
        self._options = options
        self._group = group
        self._topics = list(topics)
        self._pattern = pattern
        self._name = member
        self._fetching: dict[str, Any] = {}
        if gather_s:
            self._fetching = {"fetch_min_bytes": _GATHERED_BYTES, "fetch_max_wait_ms": round(gather_s * 1000)}
        self._session_timeout_ms = round(session_timeout_s * 1000)
        self._consumer: AIOKafkaConsumer | None = None
        self._read: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> Self:
        """Join the group, waiting for the broker."""

        async def join() -> AIOKafkaConsumer:
            consumer = AIOKafkaConsumer(
                group_id=self._group,
                group_instance_id=self._name or None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                session_timeout_ms=self._session_timeout_ms,
                heartbeat_interval_ms=self._session_timeout_ms // 5,
                max_partition_fetch_bytes=4 * 1024 * 1024,
                # New topics that match the pattern are noticed this fast.
                metadata_max_age_ms=2000,
                **self._fetching,
                **self._options.client_kwargs(),
            )
            try:
                if self._pattern:
                    consumer.subscribe(pattern=self._pattern)
                else:
                    consumer.subscribe(self._topics)
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            return consumer

        self._consumer = await retrying(join, f"group {self._group}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the group at once, so that others take over without a timeout."""
        if self._consumer is not None:
            # A member with a name would stay on the broker's list: only a killed one should.
            self._consumer._coordinator._group_instance_id = None  # noqa: SLF001 - no public way
            await self._consumer.stop()

    @property
    def _member(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            message = "use GroupReader in `async with`"
            raise RuntimeError(message)
        return self._consumer

    async def read(self, max_records: int = 1000, timeout_s: float = 0.5) -> list[LogRecord]:
        """Next records of the assigned partitions, each partition's in order; empty after `timeout_s`."""
        fetched = await self._member.getmany(timeout_ms=round(timeout_s * 1000), max_records=max_records)
        records = []
        for partition, batch in fetched.items():
            records += [log_record(record) for record in batch]
            self._read[partition] = batch[-1].offset + 1
        return records

    async def commit(self) -> None:
        """Commit everything that was read; what another member took over meanwhile is left out."""
        assigned = self._member.assignment()
        positions = {partition: offset for partition, offset in self._read.items() if partition in assigned}
        if positions:
            # The group may move on in this moment: whoever owns the partition then reads these records again.
            with contextlib.suppress(CommitFailedError, IllegalStateError):
                await self._member.commit(positions)
        self._read.clear()

    async def seek(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Go on from these next offsets, for partitions that are assigned; forget what was read and not committed."""
        assigned = self._member.assignment()
        self._read.clear()
        for (topic, partition), offset in positions.items():
            if (target := TopicPartition(topic, partition)) in assigned:
                self._member.seek(target, offset)

    def assignment(self) -> set[tuple[str, int]]:
        """Partitions that this member reads now."""
        return {(tp.topic, tp.partition) for tp in self._member.assignment()}

    async def bounds(self) -> dict[tuple[str, int], Bounds]:
        """What the broker has of each assigned partition, asked now, so that it is true also while nobody reads."""
        assigned = list(self._member.assignment())
        if not assigned:
            return {}
        first, end = await self._member.beginning_offsets(assigned), await self._member.end_offsets(assigned)
        found = {}
        for tp in assigned:
            known = [one for one in (await self._member.committed(tp), self._read.get(tp)) if one is not None]
            found[tp.topic, tp.partition] = Bounds(first[tp], max(known, default=None), end[tp])
        return found

    async def pass_over(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Commit that the group is at these offsets, where it is not further on and nothing read waits to be committed.

        What waits would be passed over by whoever reads after a kill, and known to nobody.
        """
        further = {}
        for (topic, partition), offset in positions.items():
            tp = TopicPartition(topic, partition)
            if tp not in self._member.assignment():
                continue
            done = await self._member.committed(tp)
            if done is None or done < offset:
                further[tp] = offset
        further = {tp: offset for tp, offset in further.items() if tp not in self._read}
        if further:
            with contextlib.suppress(CommitFailedError, IllegalStateError):
                await self._member.commit(further)

    def lag(self) -> int:
        """Records between what was read and the end of the assigned partitions, as far as known."""
        total = 0
        for partition in self._member.assignment():
            end = self._member.last_stable_offset(partition) or self._member.highwater(partition)
            position = self._member._subscription.subscription.assignment.state_value(partition)._position  # noqa: SLF001
            if end is not None and position is not None:
                total += max(0, end - position.offset if hasattr(position, "offset") else end - position)
        return total
