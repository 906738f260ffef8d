"""From the log into a store: read, write, commit only what the store has. Knows no technology.

A store that is away is waited for, with one log line when it goes and one when it is back. What a store will never take
becomes a dead letter `sink_refused`, and the sink goes on: what it names itself, and what makes its client stumble,
which is found by halves.
"""

import asyncio
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import structlog

from connectors.ports import Reader, Writer
from connectors.projection import position_of
from connectors.stores import Refusal, StoreUnavailableError
from schemas.headers import TRACEPARENT
from schemas.messages import dead_letter, encode
from schemas.reasons import Reason
from schemas.topics import DEADLETTER, type_of_topic
from schemas.trace import MOST_SPANS, NO_TRACER, Span, Tracer, traceparent_of
from streams.log.record import LogRecord
from streams.log.retry import retrying

log = structlog.get_logger(__name__)

ROUND_BYTES = 4 * 1024 * 1024
"""A round, which is one transaction or a few posts, takes in no more once it holds this much."""
LINGER_S = 0.05
"""A round waits this long for company, and so does what the broker has for it: many small writes cost more than one."""

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
LONGEST_WISH_S = 60.0
"""A store that asks for a longer pause is tried all the same."""

INEXPRESSIBLE = (ValueError, TypeError, OverflowError, RecursionError)
"""What a client raises that can't put a value into its protocol; an outage or a wrong set-up is something else."""

_TWIN_TAG = re.compile(rb",twin=([A-Za-z0-9][A-Za-z0-9_-]{0,63})[, ]")
_NS_PER_MS = 1_000_000


class SinkObserver(Protocol):
    """What a sink tells about itself."""

    def stored(self, records: int, size_bytes: int) -> None:
        """So many records are in the store."""

    def refused(self, type_name: str, refusals: int) -> None:
        """So many lines or records of a type became dead letters."""

    def available(self, *, up: bool) -> None:
        """The store answers, or went away."""


class SilentSink:
    """An observer that keeps nothing."""

    def stored(self, records: int, size_bytes: int) -> None:
        """Ignore it."""

    def refused(self, type_name: str, refusals: int) -> None:
        """Ignore it."""

    def available(self, *, up: bool) -> None:
        """Ignore it."""


class Sink(ABC):
    """The loop that both sinks share; `run` goes on until it is cancelled."""

    what: str
    """Name of the store in log lines."""
    round_records = 500
    """Most records of a round."""

    def __init__(self, reader: Reader, writer: Writer, observer: SinkObserver, tracer: Tracer = NO_TRACER) -> None:
        """Store what to work with; all of it is entered and left by the caller.

        Args:
            reader: Of the topics of this sink, in a group of its own.
            writer: For dead letters.
            observer: Is told what happens.
            tracer: Is told of records that belong to traces.
        """
        self._tracer = tracer
        self._reader = reader
        self._writer = writer
        self._observer = observer
        self._read: list[LogRecord] = []
        self._spans: list[Span] = []

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest record that was read and is not stored was written, None for none."""
        return min((record.timestamp_ms for record in self._read), default=None)

    async def run(self) -> None:
        """Carry records into the store until cancelled.

        Raises:
            SetupError: the store can't be used as configured.
        """
        while True:
            await self.round()

    async def round(self) -> None:
        """Read, store, commit once; returns without having done anything when there is nothing to do.

        After an error of Kafka call it again: what was read before and not committed is still here.
        """
        await self._gather()
        if not self._read:
            return
        await self._store(self._read)
        await self._reader.commit()
        for span in self._spans:
            span.end()
        self._observer.stored(len(self._read), _size_bytes(self._read))
        self._forget()

    def _forget(self) -> None:
        """What was read is stored, or another member of the group reads it."""
        self._read, self._spans = [], []

    def _take(self, records: Sequence[LogRecord]) -> None:
        """Add what was read; a record with many lines may belong to many traces."""
        self._read += records
        parents = [
            (record, parent)
            for record in records
            if record.headers
            for name, value in record.headers
            if name == TRACEPARENT and (parent := traceparent_of(value))
        ]
        spans = [
            self._tracer.begin(
                f"sink {self.what}",
                "consumer",
                parent,
                {"messaging.system": "kafka", "messaging.destination.name": record.topic},
            )
            for record, parent in parents[: MOST_SPANS - len(self._spans)]
        ]
        self._spans += [span for span in spans if span is not None]

    @abstractmethod
    async def _store(self, records: Sequence[LogRecord]) -> None:
        """Bring records into the store; returns once they are durable there, or dead letters."""

    async def _gather(self) -> None:
        """Add what has arrived, and what arrives within `LINGER_S` of it, up to a round's size."""
        if not self._read:
            self._take(await self._reader.read(self.round_records))
        loop = asyncio.get_running_loop()
        until_s = loop.time() + LINGER_S
        while self._read and (left_s := until_s - loop.time()) > 0:
            if len(self._read) >= self.round_records or _size_bytes(self._read) >= ROUND_BYTES:
                break
            self._take(await self._reader.read(self.round_records - len(self._read), left_s))

    async def _patiently(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Call `attempt` until the store is there for it, with back-off and jitter."""
        delay_s = FIRST_DELAY_S
        away = False
        while True:
            try:
                await attempt()
            except StoreUnavailableError as error:
                if not away:
                    away = True
                    log.warning("store is away, waiting", store=self.what, error=str(error))
                    self._observer.available(up=False)
                wished_s = min(error.retry_after_s, LONGEST_WISH_S)
                await asyncio.sleep(wished_s + delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
                delay_s = min(2 * delay_s, LONGEST_DELAY_S)
            else:
                if away:
                    log.info("store is back", store=self.what)
                self._observer.available(up=True)
                return

    async def _dead_letter(self, records: Iterable[LogRecord], refusals: Sequence[Refusal]) -> None:
        """Write dead letters; returns once they are durable. The same refusal always has the same id."""
        of_position = {position_of(record): record for record in records}
        written = []
        for refusal in refusals:
            record = of_position[refusal.position]
            raw = refusal.raw or record.value or b""
            twin = _twin_of(record, refusal.raw)
            type_name = type_of_topic(record.topic)
            letter = dead_letter(
                reason=Reason.SINK_REFUSED,
                detail=refusal.detail,
                source=f"kafka:{record.topic}/{record.partition}/{record.offset}",
                type_name=type_name,
                twin=twin,
                received_ns=record.timestamp_ms * _NS_PER_MS,
                raw=raw,
            )
            written.append((type_name, twin.encode() or None, encode(letter)))
        await retrying(lambda: self._send(written), "dead letters")
        for type_name in {type_name for type_name, _, _ in written}:
            count = sum(of == type_name for of, _, _ in written)
            log.warning("store refuses records", store=self.what, type=type_name, records=count)
            self._observer.refused(type_name, count)

    async def _send(self, letters: Iterable[tuple[str, bytes | None, bytes]]) -> None:
        sent = [await self._writer.send(DEADLETTER, key, value) for _, key, value in letters]
        await asyncio.gather(*sent)


def _size_bytes(records: Sequence[LogRecord]) -> int:
    return sum(len(record.value or b"") for record in records)


def _twin_of(record: LogRecord, line: bytes) -> str:
    """The twin that a refused record is about: its key, or the tag in the line; `""` when it can't be told."""
    if not type_of_topic(record.topic):
        return ""
    if record.key is not None:
        return record.key.decode(errors="replace")
    tag = _TWIN_TAG.search(line)
    return tag[1].decode() if tag else ""
