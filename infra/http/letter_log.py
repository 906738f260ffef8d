"""The topic of dead letters: followed into the file, and written to when letters are sent again or purged."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import groupby
from typing import TYPE_CHECKING

import structlog
from aiokafka.errors import KafkaError, ProducerFenced

from infra.http.deadletters import DeadLetters
from infra.http.letters import Entry, Place, Selection
from infra.http.redriving import record_of, why_not
from infra.http.services import LogUnavailableError, Redriving
from schemas.clock import Clock
from schemas.headers import LETTER
from schemas.messages import SENT, DeadLetter, LetterNote, Redriven, encode
from schemas.topics import DEADLETTER, TypeTopics
from streams.log.admin import LogAdmin
from streams.log.atomic import Addressed, AtomicWriter
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.retry import is_retriable, retrying

if TYPE_CHECKING:
    from streams.log.record import LogRecord

_RETRY_S = 0.5
_STEP_S = 0.02
_EXPIRY_INTERVAL_S = 60.0
_TIMEOUT_S = 25.0

log = structlog.get_logger(__name__)


class LetterLog:
    """Keeps the file current for as long as the process lives.

    Two who send letters of a type at the same time share a transactional id, so that the earlier one can write no more;
    the later one looks at what is there only then. So no letter is sent twice, whoever is killed when.

    Attributes:
        what: What is followed, for people.
        caught_up: Whether everything was read that was there at the start.
    """

    what = "dead letters"

    def __init__(
        self,
        options: KafkaOptions,
        letters: DeadLetters,
        *,
        is_deployed: Callable[[str], bool],
        fault: Callable[[], str],
        clock: Clock,
        kept_ms: int | None = None,
    ) -> None:
        """Store what to work with.

        Args:
            options: How to reach Kafka.
            letters: The file.
            is_deployed: Whether a type is.
            fault: What is the matter with Kafka, `""` when it answers.
            clock: Where to ask for the time.
            kept_ms: How long the topic keeps letters, None for ever.
        """
        self.caught_up = False
        self._options = options
        self._letters = letters
        self._is_deployed = is_deployed
        self._fault = fault
        self._kept_ms = kept_ms
        self._next_expiry_s = 0.0
        self._clock = clock
        self._follower: Follower | None = None
        self._unread: list[LogRecord] = []
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Follow until cancelled; a broker that is away is waited for, and so is a disk that is full."""
        async with LogAdmin(self._options) as admin:

            async def log_id() -> str:
                ids = await admin.topic_ids((DEADLETTER,))
                return f"{await admin.cluster_id()}/{ids.get(DEADLETTER, '')}"

            self._letters.belong_to(await retrying(log_id, self.what))
        follower = Follower(self._options, topics=(DEADLETTER,))
        for partition, offset in self._letters.positions().items():
            follower.positions[DEADLETTER, partition] = offset
        failing = False
        async with follower:
            self._follower = follower
            while True:
                try:
                    self._unread = self._unread or await follower.read()
                    if self._unread:
                        await asyncio.to_thread(self._letters.apply, self._unread)
                        self._unread = []
                    self.caught_up = self.caught_up or await follower.caught_up()
                    await self._expire()
                    failing = False
                except (KafkaError, sqlite3.Error) as error:
                    if not failing:
                        failing = True
                        log.warning("following dead letters fails, trying again", error=str(error) or repr(error))
                    await asyncio.sleep(_RETRY_S)

    async def _expire(self) -> None:
        """Forget, once a minute, what the topic no longer keeps."""
        now_s = self._clock.monotonic_s()
        if self._kept_ms is not None and now_s >= self._next_expiry_s:
            self._next_expiry_s = now_s + _EXPIRY_INTERVAL_S
            await asyncio.to_thread(self._letters.expire, self._clock.now_ns() // 1_000_000 - self._kept_ms)

    async def redrive(self, selection: Selection, *, refused_again: bool, after: Place | None, limit: int) -> Redriving:
        """Send letters once more to the inputs of their types, oldest first, those of a type all or none.

        Args:
            selection: Which.
            refused_again: Also those that were sent, and refused again.
            after: From behind this place on.
            limit: Look at so many at most.

        Raises:
            LogUnavailableError: Kafka is away, or somebody else sends letters of such a type right now.
        """
        done = Redriving()
        async with self._reachable(), AsyncExitStack() as stack:
            writers: dict[str, AtomicWriter] = {}
            missing = {selection.type} if self._is_deployed(selection.type) else set()
            while True:
                for type_name in sorted(missing):
                    # From here on nobody else sends any of it; what others sent is known once all was read.
                    writer = AtomicWriter(self._options, f"twinstream-redrive-{type_name}")
                    writers[type_name] = await stack.enter_async_context(writer)
                await self._current()
                entries, more = await asyncio.to_thread(
                    self._letters.due, selection, refused_again=refused_again, after=after, limit=limit
                )
                letters = [(entry, entry.letter()) for entry in entries]
                reasons = [why_not(letter, self._is_deployed) for _, letter in letters]
                able = [one for one, why in zip(letters, reasons, strict=True) if not why]
                missing = {letter.type for _, letter in able} - writers.keys()
                if not missing:
                    break
            done.unable = [(letter, why) for (_, letter), why in zip(letters, reasons, strict=True) if why]
            done.next = str(entries[-1].place) if more else None
            by_type = sorted(able, key=lambda one: one[1].type)  # stable: oldest first within a type
            for type_name, group in groupby(by_type, key=lambda one: one[1].type):
                done.sent += await self._send(writers[type_name], list(group))
            if not refused_again:
                done.refused_again = await asyncio.to_thread(self._letters.number, selection, refused_again=True)
        return done

    async def purge(self, selection: Selection, *, limit: int) -> list[str]:
        """Remove up to `limit` letters; return their ids.

        Raises:
            LogUnavailableError: Kafka is away.
        """
        async with self._reachable(), AtomicWriter(self._options, "twinstream-purge") as writer:
            await self._current()
            now_ns = self._clock.now_ns()
            entries = await asyncio.to_thread(self._letters.newest, selection, limit=limit)
            notes = [LetterNote(id=entry.letter().id, purged_ns=now_ns) for entry in entries]
            if notes:
                async with writer.transaction():
                    await writer.send(map(_addressed, entries, notes))
                await asyncio.to_thread(self._letters.note, notes)
        return [note.id for note in notes]

    async def _send(
        self, writer: AtomicWriter, letters: Sequence[tuple[Entry, DeadLetter]]
    ) -> list[tuple[DeadLetter, Redriven]]:
        now_ns = self._clock.now_ns()
        async with writer.transaction():
            partitions = await writer.partitions_of(TypeTopics(letters[0][1].type).telemetry)
            records = [record_of(letter, partitions) for _, letter in letters]
            sent = [
                Redriven(time_ns=now_ns, partition=record.partition, offset=offset, outcome=SENT)
                for record, offset in zip(records, await writer.send(records), strict=True)
            ]
            notes = [LetterNote(id=letter.id, redriven=at) for (_, letter), at in zip(letters, sent, strict=True)]
            await writer.send(_addressed(entry, note) for (entry, _), note in zip(letters, notes, strict=True))
        await asyncio.to_thread(self._letters.note, notes)
        return [(letter, at) for (_, letter), at in zip(letters, sent, strict=True)]

    async def _current(self) -> None:
        """Wait until the file has everything that is in the topic now."""
        if self._follower is None:
            message = "kafka was not reached yet"
            raise LogUnavailableError(message)
        ends = await self._follower.ends()
        while self._unread or not await self._follower.reached(ends):  # noqa: ASYNC110 - Kafka has no event for it
            await asyncio.sleep(_STEP_S)

    @asynccontextmanager
    async def _reachable(self) -> AsyncIterator[None]:
        if fault := self._fault():
            message = f"kafka {fault}"
            raise LogUnavailableError(message)
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._writing:
                yield
        except ProducerFenced:
            message = "somebody else sends letters of this type at the same time"
            raise LogUnavailableError(message) from None
        except TimeoutError:
            message = f"not done within {_TIMEOUT_S:g} s"
            raise LogUnavailableError(message) from None
        except KafkaError as error:
            if not is_retriable(error):
                raise
            raise LogUnavailableError(str(error) or type(error).__name__) from error


def _addressed(entry: Entry, note: LetterNote) -> Addressed:
    """What is told of a letter, behind it in its own partition."""
    return Addressed(
        topic=DEADLETTER,
        partition=entry.place.partition,
        key=None,
        value=encode(note),
        headers=((LETTER, note.id.encode()),),
    )
