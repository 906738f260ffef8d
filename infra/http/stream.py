"""The response that never ends: server-sent events to one client."""

import asyncio
from collections.abc import AsyncIterator

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from infra.http.feed import EncodeState, Feed, Subscription

SEND_TIMEOUT_S = 15.0
"""A client that takes nothing for this long is cut off."""
PAUSE_S = 0.05
"""Between two writes, so that what comes meanwhile goes out together."""
RECONNECT_MS = 2000

log = structlog.get_logger(__name__)


class EventStream(StreamingResponse):
    """Server-sent events with an end for clients that don't read."""

    media_type = "text/event-stream"

    async def stream_response(self, send: Send) -> None:
        """Send what the iterator yields; give up on a client that takes nothing."""

        async def bounded(message: Message) -> None:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send(message)

        try:
            await super().stream_response(bounded)
        except TimeoutError:
            log.warning("a client of the event stream reads nothing, cut off", timeout_s=SEND_TIMEOUT_S)


async def frames(
    feed: Feed,
    encode: EncodeState,
    *,
    type_name: str,
    twin: str,
    first: tuple[str, str, bytes] | None,
    heartbeat_s: float,
) -> AsyncIterator[bytes]:
    """Yield the event stream of one client.

    Args:
        feed: Where it comes from.
        encode: JSON of a row.
        type_name: Only this type, `""` for any.
        twin: Only this twin, `""` for any.
        first: Type, twin id and row to begin with.
        heartbeat_s: Pause after which a comment says that the stream lives.
    """
    with feed.subscribe(type_name, twin) as subscription:
        if first is not None:
            subscription.put_state(*first)
        yield b"retry: %d\n: connected\n\n" % RECONNECT_MS
        async for part in _parts(subscription, encode, heartbeat_s):
            yield part


async def _parts(subscription: Subscription, encode: EncodeState, heartbeat_s: float) -> AsyncIterator[bytes]:
    while True:
        if not await subscription.wait(heartbeat_s):
            yield b": heartbeat\n\n"
            continue
        waiting = subscription.take(encode)
        if waiting:
            yield waiting
        if subscription.closing:
            yield b": closed, " + subscription.closing.encode() + b"\n\n"
            return
        await asyncio.sleep(PAUSE_S)
