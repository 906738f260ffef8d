"""The response that never ends: server-sent events to one client."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from infra.http.feed import EncodeState, Feed, Sees, Subscription, frame, message_frame, sees_all
from infra.http.positions import Positions, missed, of_type, written
from infra.http.stream_history import History, MissedTooMuchError, no_history
from schemas.topics import type_of_topic
from streams.log.record import LogRecord

SEND_TIMEOUT_S = 15.0
"""A client that takes nothing for this long is cut off."""
PAUSE_S = 0.05
"""Between two writes, so that what comes meanwhile goes out together."""
RECONNECT_MS = 2000
_AT_ONCE = 500
_LOOK_S = 1.0
"""A client whose token is revoked hears no more after this long at the most, whether or not something happens."""
_NO_LONGER = "what this client showed is good no longer"

log = structlog.get_logger(__name__)


class EventStream(StreamingResponse):
    """Server-sent events with an end for clients that don't read."""

    media_type = "text/event-stream"

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Say too that a proxy must not collect what never ends; nginx knows it by this name."""
        super().init_headers({"x-accel-buffering": "no", **(headers or {})})

    async def stream_response(self, send: Send) -> None:
        """Send what the iterator yields; give up on a client that takes nothing."""

        async def bounded(message: Message) -> None:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send(message)

        try:
            await super().stream_response(bounded)
        except TimeoutError:
            log.warning("a client of the event stream reads nothing, cut off", timeout_s=SEND_TIMEOUT_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What a client of the event stream asked for.

    Attributes:
        type_name: Only this type, `""` for any.
        twin: Only this twin, `""` for any.
        first: Types, twin ids and rows to begin with.
        last: Where it was before, None when it comes for the first time.
        sees: Which twins it may see.
        good: Whether what it showed is still good; the stream ends within a second once it is not, and
            within `SEND_TIMEOUT_S` when the client takes nothing.
    """

    type_name: str = ""
    twin: str = ""
    first: Sequence[tuple[str, str, bytes]] = ()
    last: Positions | None = None
    sees: Sees = sees_all
    good: Callable[[], bool] = lambda: True

    def wants(self, record: LogRecord) -> bool:
        """Whether a command or event is for it."""
        if record.key is None or record.value is None:
            return False
        type_name, twin = type_of_topic(record.topic), record.key.decode(errors="replace")
        return self.type_name in {"", type_name} and self.twin in {"", twin} and self.sees(type_name, twin)


async def frames(
    feed: Feed, encode: EncodeState, client: Client, *, heartbeat_s: float, history: History = no_history
) -> AsyncIterator[bytes]:
    """Yield the event stream of one client.

    Args:
        feed: Where it comes from.
        encode: JSON of a row.
        client: What it asked for.
        heartbeat_s: Pause after which a comment says that the stream lives.
        history: Reads what it missed.
    """
    now = of_type(feed.positions, client.type_name)
    begin = dict(now) if client.last is None else of_type(client.last, client.type_name)
    with feed.subscribe(client.type_name, client.twin, client.sees, begin) as subscription:
        for row in client.first:
            subscription.put_state(*row)
        yield b"retry: %d\n: connected\nid: %b\n\n" % (RECONNECT_MS, written(begin).encode())
        if client.last is not None and (ranges := missed(begin, now)):
            try:
                records = await history(ranges, client.wants)
            except MissedTooMuchError as error:
                begin.update(now)
                data = msgspec.json.encode({"reason": str(error)})
                yield b"id: " + written(begin).encode() + b"\n" + frame("reset", data)
            else:
                for start in range(0, len(records), _AT_ONCE):
                    # Reading it took its time, and a client may take its own to receive it.
                    if not client.good():
                        subscription.close(_NO_LONGER)
                        break
                    some = records[start : start + _AT_ONCE]
                    yield b"".join(subscription.at(message_frame(record), record) for record in some)
                begin.update(now)
        async for part in _parts(subscription, encode, heartbeat_s, client.good):
            yield part


async def _parts(
    subscription: Subscription, encode: EncodeState, heartbeat_s: float, good: Callable[[], bool]
) -> AsyncIterator[bytes]:
    silent_s = 0.0
    while True:
        wait_s = min(_LOOK_S, heartbeat_s - silent_s)
        came = await subscription.wait(wait_s)
        if not good():
            subscription.close(_NO_LONGER)
        elif not came:
            silent_s += wait_s
            if silent_s >= heartbeat_s:
                silent_s = 0.0
                yield b": heartbeat\n\n"
            continue
        silent_s = 0.0
        waiting = subscription.take(encode)
        if waiting:
            yield waiting
        if subscription.closing:
            yield b": closed, " + subscription.closing.encode() + b"\n\n"
            return
        await asyncio.sleep(PAUSE_S)
