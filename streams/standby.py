"""Keeping partitions of other workers warm: rows that follow the changelog, so that a take-over reads its end alone."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, OffsetOutOfRangeError

from schemas.clock import Clock, SystemClock
from streams.backoff import Backoff
from streams.block import Block
from streams.changelog import ChangelogReader, Position, told_apart
from streams.kept_warm import KeptWarm
from streams.log.admin import LogAdmin
from streams.options import EngineOptions
from streams.processor import Lineage, Observer, ProcessorFactory
from streams.warm import WarmRows

log = structlog.get_logger(__name__)

_LOOK_S = 0.5
_ASK_S = 30.0
_FIRST_RECONNECT_S = 0.5
_LONGEST_RECONNECT_S = 5.0
"""All that is followed falls behind meanwhile; one that fails by itself has delays of its own, which get longer."""

_AWAY_S = 5.0
"""So long after its consumer failed, nothing counts as warm any more: nobody knows how far behind it is."""

_READY_EVERY_S = 2.0
_FETCH_BYTES = 1 << 20
"""What is taken in at once holds the thread of all rows for some 10 ms."""

_SMALL_FETCH_BYTES = 64 << 10


class Standby:
    """Follows changelogs in the engine's event loop; rows are touched in the engine's thread alone.

    Args:
        in_thread: Runs work on a partition's rows in the thread that owns all rows.
        ready: Called once everything that was awaited is warm.
        clock: Tells how old rows are; the host's, if none is given.
    """

    def __init__(
        self,
        options: EngineOptions,
        factory: ProcessorFactory,
        observer: Observer,
        in_thread: Callable[[int, Callable[[], object]], Awaitable[object]],
        ready: Callable[[], None],
        clock: Clock | None = None,
    ) -> None:
        self._options = options
        self._factory = factory
        self._observer = observer
        self._in_thread = in_thread
        self._ready = ready
        self._clock = clock or SystemClock()
        self._followers: dict[int, KeptWarm] = {}
        self._backoff = Backoff(_FIRST_RECONNECT_S, _LONGEST_RECONNECT_S)
        self._cooling: asyncio.TimerHandle | None = None
        self._awaited: frozenset[int] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._taking_in = asyncio.Lock()
        self._warm: frozenset[int] = frozenset()
        self._told_s = self._ready_s = self._asked_s = float("-inf")

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
            self._followers[number] = KeptWarm(number, warm.get(number))
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
        self._heard()
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
        while self._followers:
            try:
                async with self._consumer() as consumer:
                    await self._follow(consumer)
            except Exception as error:  # noqa: BLE001 - whatever it was, nobody waits for a standby
                delay_s = self._backoff.failed()
                if self._cooling is None:
                    self._cooling = asyncio.get_running_loop().call_later(_AWAY_S, self._cool)
                if self._backoff.failures == 1:
                    log.warning("changelogs can't be followed, trying again", error=repr(error))
                await asyncio.sleep(delay_s)
        self._task = None

    def _cool(self) -> None:
        """Nothing was heard of changelogs for seconds."""
        self._cooling = None
        for follower in self._followers.values():
            follower.behind = None
        self._note_warm()
        self._tell()

    def _heard(self) -> None:
        if self._cooling is not None:
            self._cooling.cancel()
            self._cooling = None

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
                for place, at in error.args[0].items():
                    self._begin_anew(place.partition, "the changelog lost what comes next", at)
            for place, blocks in fetched.items():
                for block in blocks:
                    await self._take_in(place.partition, block)
            self._look(consumer)
            await self._ask(consumer)

    async def _ask(self, consumer: AIOKafkaConsumer) -> None:
        """Ask from time to time where changelogs end: rows that are there later were current when it was asked."""
        asked_s, places = self._clock.running_s(), consumer.assignment()
        if asked_s - self._asked_s < _ASK_S or not places:
            return
        for place, end in (await consumer.end_offsets(places)).items():
            if follower := self._followers.get(place.partition):
                follower.asked(end, asked_s)
        self._asked_s = asked_s
        if failures := self._backoff.over():
            log.info("changelogs are followed again", failures=failures)

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

    async def _make(self, number: int, follower: KeptWarm) -> None:
        """Make a processor under the version that the partition is under, however long it takes."""
        while self._followers.get(number) is follower:
            await asyncio.sleep(follower.wait_s)
            try:
                follower.rows, follower.judged_from = await self._begun(number)
            except Exception as error:  # noqa: BLE001 - Kafka is away, or the version can't be had
                follower.failed(f"it can't begin: {error!r}")
                self._observer.failed(number, "standby")
            else:
                break
        follower.making = None
        self._changed.set()

    async def _begun(self, number: int) -> tuple[WarmRows, int]:
        options, began_s = self._options, self._clock.running_s()
        async with LogAdmin(options.kafka) as admin:
            ids = await admin.topic_ids([options.source, options.changelog])
        lineage = Lineage(options.cluster, ids[options.source], number)
        async with ChangelogReader(options.kafka, options.changelog) as changelog:
            end = await changelog.end(number)
            position = await changelog.position(number)
            beginning = await changelog.beginning(number)
        noted = position.note if position else {}
        processor = await self._factory.make(lineage, noted)
        return WarmRows(lineage, ids[options.changelog], processor, beginning, None, noted, began_s), end

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
            # Nobody may get them half taken in.
            follower.rows = None
            try:
                position = await self._restored(rows, block)
            except Exception as error:  # noqa: BLE001 - whatever it was, the rows are built anew
                self._begin_anew(number, f"it can't take in its changelog: {error!r}", max(block.end, rows.at + 1))
                return
            if block.end < follower.judged_from or rows.fits(position):
                rows.at, rows.position = block.end, position or rows.position
                follower.rows = rows
                return
            log.info("another version is in force: standby's rows are read under it", partition=number)
            follower.begin_anew()
            self._changed.set()

    async def _restored(self, rows: WarmRows, block: Block) -> Position | None:
        """Have rows take in a block; the last position in it."""
        if block.unreadable:
            raise CorruptRecordException(block.unreadable)
        records, position = told_apart(block)
        if len(records):
            rows.is_ready = False
            await self._in_thread(rows.lineage.partition, partial(rows.processor.restore, records))
        return position

    def _begin_anew(self, number: int, why: str, end: int) -> None:
        if follower := self._followers.get(number):
            follower.failed(why, end)
            self._observer.failed(number, "standby")
            self._changed.set()

    def _look(self, consumer: AIOKafkaConsumer) -> None:
        """Note how far behind everything is, and say once that what was awaited is warm."""
        running_s, limit_s = self._clock.running_s(), self._options.rows_age_s
        for place in consumer.assignment():
            follower = self._followers.get(place.partition)
            if follower is None or follower.rows is None:
                continue
            end = consumer.last_stable_offset(place)
            if end is not None and end >= 0:
                self._heard()
            follower.look(end, running_s, limit_s)
            if follower.rows is None:
                self._observer.failed(place.partition, "standby")
                self._changed.set()
        self._note_warm()
        now_s = time.monotonic()
        if self._awaited and self._awaited <= self._warm and now_s - self._ready_s >= _READY_EVERY_S:
            self._awaited, self._ready_s = frozenset(), now_s
            self._ready()
        if now_s - self._told_s >= 1.0:
            self._tell()

    def _note_warm(self) -> None:
        self._warm = frozenset(number for number, follower in self._followers.items() if follower.behind is not None)

    def _tell(self) -> None:
        self._told_s = time.monotonic()
        size = sum(follower.rows.processor.size_bytes for follower in self._followers.values() if follower.rows)
        self._observer.warm({number: follower.behind for number, follower in self._followers.items()}, size)
