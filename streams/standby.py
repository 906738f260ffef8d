"""Keeping partitions of other workers warm: rows that follow the changelog, so that a take-over reads its end alone."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from streams.block import Block
from streams.changelog import ChangelogReader, told_apart
from streams.log.admin import LogAdmin
from streams.options import EngineOptions
from streams.processor import Lineage, Observer, ProcessorFactory
from streams.warm import WarmRows

log = structlog.get_logger(__name__)

NEAR = 10_000
"""Offsets behind the changelog at which rows count as warm; reading them takes some 50 ms."""

_LOOK_S = 0.5
_RETRY_S = 5.0
_READY_EVERY_S = 2.0
_FETCH_BYTES = 1 << 20
"""What is taken in at once holds the thread of all rows for some 10 ms."""

_SMALL_FETCH_BYTES = 64 << 10


@dataclass(slots=True, eq=False)
class _Follower:
    """A partition that is followed.

    Attributes:
        rows: None until their processor was made.
        behind: Offsets behind the changelog's end, None before they caught up.
        judged_from: Offset from which on position records tell the version that the processor is to be of; those
            before are history.
    """

    rows: WarmRows | None = None
    behind: int | None = None
    judged_from: int = 0
    making: asyncio.Task[None] | None = None


class Standby:
    """Follows changelogs in the engine's event loop; rows are touched in the engine's thread alone.

    Args:
        in_thread: Runs work on a partition's rows in the thread that owns all rows.
        ready: Called once everything that was awaited is warm.
    """

    def __init__(
        self,
        options: EngineOptions,
        factory: ProcessorFactory,
        observer: Observer,
        in_thread: Callable[[int, Callable[[], object]], Awaitable[object]],
        ready: Callable[[], None],
    ) -> None:
        self._options = options
        self._factory = factory
        self._observer = observer
        self._in_thread = in_thread
        self._ready = ready
        self._followers: dict[int, _Follower] = {}
        self._awaited: frozenset[int] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._taking_in = asyncio.Lock()
        self._warm: frozenset[int] = frozenset()
        self._told_s = self._ready_s = float("-inf")

    @property
    def warm(self) -> frozenset[int]:
        """Partitions whose rows are nearly up to date; asked from any thread."""
        return self._warm

    def keep(self, wanted: frozenset[int], awaited: frozenset[int], warm: Mapping[int, WarmRows]) -> None:
        """Follow these partitions from now on, and no others.

        Args:
            wanted: Which.
            awaited: Of these, which others wait for.
            warm: Rows that some of them begin with.
        """
        for number in self._followers.keys() - wanted:
            self._drop(number)
        for number in wanted - self._followers.keys():
            self._followers[number] = _Follower(warm.get(number))
        self._awaited = awaited
        self._note_warm()
        self._changed.set()
        if self._followers and self._task is None:
            self._task = asyncio.create_task(self._run(), name="standby")
        elif not self._followers:
            self._observer.warm({}, 0)

    async def take(self, number: int) -> WarmRows | None:
        """Stop following a partition, which is stepped here from now on; its rows, as far as there are any."""
        async with self._taking_in:
            follower = self._followers.get(number)
            rows = follower.rows if follower else None
            self._drop(number)
            self._note_warm()
            self._changed.set()
        return rows

    async def close(self) -> None:
        """Stop everything."""
        for number in list(self._followers):
            self._drop(number)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def _drop(self, number: int) -> None:
        follower = self._followers.pop(number, None)
        if follower is not None and follower.making is not None:
            follower.making.cancel()

    async def _run(self) -> None:
        """Follow until there is nothing to follow."""
        away = False
        while self._followers:
            try:
                async with self._consumer() as consumer:
                    await self._follow(consumer)
                away = False
            except Exception as error:  # noqa: BLE001 - whatever it was, nobody waits for a standby
                if not away:
                    log.warning("changelogs can't be followed, trying again", error=repr(error))
                away = True
                await asyncio.sleep(_RETRY_S)
        self._task = None

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            enable_auto_commit=False,
            isolation_level="read_committed",
            # A changelog that no longer has what comes next is read anew.
            auto_offset_reset="none",
            max_partition_fetch_bytes=_FETCH_BYTES,
            # Few fetches: being half a second behind costs a take-over nothing.
            fetch_min_bytes=_SMALL_FETCH_BYTES,
            fetch_max_wait_ms=round(_LOOK_S * 1000),
            **self._options.kafka.client_kwargs(),
        )

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        self._changed.set()
        while self._followers:
            if self._changed.is_set():
                self._changed.clear()
                self._assign(consumer)
            if not consumer.assignment():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._changed.wait()
                continue
            fetched: dict[TopicPartition, list[Block]] = {}
            try:
                fetched = await consumer.getmany(timeout_ms=round(_LOOK_S * 1000))
            except OffsetOutOfRangeError as error:
                for place in error.args[0]:
                    log.warning("changelog lost what comes next, beginning anew", partition=place.partition)
                    self._begin_anew(place.partition)
            for place, blocks in fetched.items():
                for block in blocks:
                    await self._take_in(place.partition, block)
            self._look(consumer)

    def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """Fetch exactly what is followed, each from where its rows are; begin what has none yet."""
        followed = {}
        for number, follower in self._followers.items():
            if follower.rows is not None:
                followed[TopicPartition(self._options.changelog, number)] = follower.rows.at
            elif follower.making is None:
                follower.making = asyncio.create_task(self._make(number, follower), name=f"standby-{number}")
        consumer.assign(list(followed))
        for place, at in followed.items():
            consumer.seek(place, at)

    async def _make(self, number: int, follower: _Follower) -> None:
        """Make a processor under the version that the partition is under, however long it takes."""
        while self._followers.get(number) is follower:
            try:
                follower.rows, follower.judged_from = await self._begun(number)
            except Exception as error:  # noqa: BLE001 - Kafka is away, or the version can't be had
                log.warning("standby can't begin, trying again", partition=number, error=repr(error))
                await asyncio.sleep(_RETRY_S)
            else:
                break
        follower.making = None
        self._changed.set()

    async def _begun(self, number: int) -> tuple[WarmRows, int]:
        options = self._options
        async with LogAdmin(options.kafka) as admin:
            ids = await admin.topic_ids([options.source, options.changelog])
        lineage = Lineage(options.cluster, ids[options.source], number)
        async with ChangelogReader(options.kafka, options.changelog) as changelog:
            end = await changelog.end(number)
            position = await changelog.position(number)
            beginning = await changelog.beginning(number)
        noted = position.note if position else {}
        processor = await self._factory.make(lineage, noted)
        return WarmRows(lineage, ids[options.changelog], processor, beginning, None, noted), end

    async def _take_in(self, number: int, block: Block) -> None:
        """Bring rows up to the end of a block; what can't be is begun anew."""
        async with self._taking_in:
            follower = self._followers.get(number)
            rows = follower.rows if follower else None
            if follower is None or rows is None or block.end <= rows.at:
                return  # taken away meanwhile, or fetched before
            if block.start > rows.at:
                self._changed.set()  # fetched for rows that are begun anew: sought again
                return
            block = block.since(rows.at)
            records, position = told_apart(block)
            # Nobody may get them half taken in.
            follower.rows = None
            fits = False
            try:
                if len(records):
                    rows.is_ready = False
                    await self._in_thread(number, partial(rows.processor.restore, records))
                fits = block.end < follower.judged_from or rows.fits(position)
            except Exception as error:  # noqa: BLE001 - whatever it was, the rows are built anew
                log.warning("standby can't take in its changelog, beginning anew", partition=number, error=repr(error))
            if fits and not block.unreadable:
                rows.at, rows.position = block.end, position or rows.position
                follower.rows = rows
            else:
                # Also when another version is in force there: its rows are read under it.
                self._begin_anew(number)

    def _begin_anew(self, number: int) -> None:
        if follower := self._followers.get(number):
            follower.rows = follower.behind = None
            self._note_warm()
            self._changed.set()

    def _look(self, consumer: AIOKafkaConsumer) -> None:
        """Note how far behind everything is, and say once that what was awaited is warm."""
        for place in consumer.assignment():
            follower = self._followers.get(place.partition)
            if follower is None or follower.rows is None:
                continue
            end = consumer.last_stable_offset(place)
            if end is not None and end >= 0:
                behind = max(0, end - follower.rows.at)
                follower.behind = behind if behind <= NEAR or follower.behind is not None else None
        self._note_warm()
        now_s = time.monotonic()
        if self._awaited and self._awaited <= self._warm and now_s - self._ready_s >= _READY_EVERY_S:
            self._awaited, self._ready_s = frozenset(), now_s
            self._ready()
        if now_s - self._told_s >= 1.0:
            self._tell()

    def _note_warm(self) -> None:
        self._warm = frozenset(
            number
            for number, follower in self._followers.items()
            if follower.behind is not None and follower.behind <= NEAR
        )

    def _tell(self) -> None:
        self._told_s = time.monotonic()
        size = sum(follower.rows.processor.size_bytes for follower in self._followers.values() if follower.rows)
        self._observer.warm({number: follower.behind for number, follower in self._followers.items()}, size)
