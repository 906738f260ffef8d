"""What happens now: state, commands and events, handed to event streams and to those who wait for an outcome."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec
import structlog

from infra.http.positions import Positions, written
from schemas.messages import Event
from schemas.topics import type_of_topic
from streams.log.record import LogRecord

FEED_PATTERN = r"^twinstream\.[a-z0-9_-]+\.(commands|events)$"
ACCEPTED, REFUSED = "request_accepted", "request_rejected"

_QUEUE_LIMIT = 1000
_STATES_PER_TURN = 500

EncodeState = Callable[[str, str, bytes | None], bytes | None]
"""JSON of a twin from type, id and row (None: deleted); None when the row can't be read."""

log = structlog.get_logger(__name__)


Sees = Callable[[str, str], bool]
"""Whether a client may see a twin, from type and id."""


def sees_all(type_name: str, twin: str) -> bool:  # noqa: ARG001
    """Nothing is held back."""
    return True


class Subscription:
    """What one client of the event stream has still to get.

    Commands and events are queued; a client that falls `limit` of them behind is cut off. Of state only the latest
    row of each twin waits, so that a client may be slower than the twins are.

    Attributes:
        sees: Which twins the client may see.
        position: Where the client is in the log, which each frame of a command or event tells; None tells nothing.
        states_only: Whether commands and events do not concern the client.
        closing: Why the stream ends, `""` while it goes on.
    """

    def __init__(
        self, limit: int, sees: Sees = sees_all, position: Positions | None = None, *, states_only: bool = False
    ) -> None:
        self.sees = sees
        self.position = position
        self.states_only = states_only
        self._limit = limit
        self._messages: deque[tuple[bytes, LogRecord]] = deque()
        self._states: dict[tuple[str, str], bytes | None] = {}
        self._wake = asyncio.Event()
        self.closing = ""

    def put_state(self, type_name: str, twin: str, row: bytes | None) -> None:
        """A twin's row changed."""
        if not self.closing:
            self._states[type_name, twin] = row
            self._wake.set()

    def put_message(self, frame: bytes, record: LogRecord) -> None:
        """A command or event came."""
        if self.states_only:
            return
        if len(self._messages) >= self._limit:
            self.close("this client is too slow")
        elif not self.closing:
            self._messages.append((frame, record))
            self._wake.set()

    def close(self, why: str) -> None:
        """End the stream; what still waits is dropped."""
        self.closing = why
        self._messages.clear()
        self._states.clear()
        self._wake.set()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for something to take; False when nothing came."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def take(self, encode: EncodeState) -> bytes:
        """Frames that wait, commands and events first; of the states no more than a turn's share."""
        frames = [self.at(frame, record) for frame, record in self._messages]
        self._messages.clear()
        for key in list(self._states)[:_STATES_PER_TURN]:
            data = encode(*key, self._states.pop(key))
            if data is not None:
                frames.append(frame("state", data))
        if not self._states and not self.closing:
            self._wake.clear()
        return b"".join(frames)

    def at(self, frame: bytes, record: LogRecord) -> bytes:
        """A frame with where the client is after it; nothing of what it had before."""
        if self.position is None:
            return frame
        place = record.topic, record.partition
        if record.offset < self.position.get(place, 0):
            return b""
        self.position[place] = record.offset + 1
        return b"id: " + written(self.position).encode() + b"\n" + frame


class Feed:
    """Follows the command and event topics, hears of changed rows, and hands both to whom they concern.

    Attributes:
        positions: Next offset of each partition: everything before was handed on.
    """

    def __init__(self, *, queue_limit: int = _QUEUE_LIMIT) -> None:
        self.positions: Positions = {}
        self._queue_limit = queue_limit
        self._subscriptions: dict[tuple[str, str], set[Subscription]] = {}
        self._outcomes: dict[tuple[str, str], dict[str, asyncio.Future[Event]]] = {}
        self._closed = ""

    @property
    def clients(self) -> int:
        """How many event streams are open."""
        return sum(map(len, self._subscriptions.values()))

    def changed(self, type_name: str, twin: str, row: bytes | None) -> None:
        """A row changed; given to `StateTable`."""
        for subscription in self._concerned(type_name, twin):
            subscription.put_state(type_name, twin, row)

    def apply(self, records: Iterable[LogRecord]) -> None:
        """Take in records of command and event topics."""
        for record in records:
            self.positions[record.topic, record.partition] = record.offset + 1
            if record.key is None or record.value is None:
                continue
            type_name, twin = type_of_topic(record.topic), record.key.decode(errors="replace")
            is_event = record.topic.endswith(".events")
            if is_event and (type_name, twin) in self._outcomes:
                self._settle(self._outcomes[type_name, twin], record.value)
            concerned = self._concerned(type_name, twin)
            if concerned:
                data = message_frame(record)
                for subscription in concerned:
                    subscription.put_message(data, record)

    @contextmanager
    def subscribe(
        self,
        type_name: str = "",
        twin: str = "",
        sees: Sees = sees_all,
        position: Positions | None = None,
        *,
        states_only: bool = False,
    ) -> Iterator[Subscription]:
        """Hear of one twin, of a type or, with `""`, of any, as far as the client may see it."""
        subscription = Subscription(self._queue_limit, sees, position, states_only=states_only)
        if self._closed:
            subscription.close(self._closed)
        members = self._subscriptions.setdefault((type_name, twin), set())
        members.add(subscription)
        try:
            yield subscription
        finally:
            members.discard(subscription)
            if not members:
                self._subscriptions.pop((type_name, twin), None)

    @contextmanager
    def outcome(self, type_name: str, twin: str, request_id: str) -> Iterator[asyncio.Future[Event]]:
        """A future of the event that says what became of a request; enter before the request is written."""
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        waiting = self._outcomes.setdefault((type_name, twin), {})
        waiting[request_id] = future
        try:
            yield future
        finally:
            del waiting[request_id]
            if not waiting:
                self._outcomes.pop((type_name, twin), None)

    def close(self, why: str = "the server stops") -> None:
        """End every event stream, present and future, so that a server can stop."""
        self._closed = why
        for members in self._subscriptions.values():
            for subscription in members:
                subscription.close(why)

    def _concerned(self, type_name: str, twin: str) -> list[Subscription]:
        if not self._subscriptions:
            return []
        keys = ((type_name, twin), (type_name, ""), ("", twin), ("", ""))
        found = [subscription for key in keys for subscription in self._subscriptions.get(key, ())]
        return [subscription for subscription in found if subscription.sees(type_name, twin)]

    @staticmethod
    def _settle(waiting: dict[str, asyncio.Future[Event]], value: bytes) -> None:
        try:
            event = msgspec.json.decode(value, type=Event)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("a record among the events is none", error=str(error))
            return
        future = waiting.get(event.id)
        if future is not None and not future.done() and event.name in {ACCEPTED, REFUSED}:
            future.set_result(event)


def message_frame(record: LogRecord) -> bytes:
    """The frame of a command or event."""
    return frame("event" if record.topic.endswith(".events") else "command", record.value or b"")


def frame(name: str, data: bytes) -> bytes:
    """One server-sent event. JSON has line breaks only between its tokens, where a space does as well."""
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
