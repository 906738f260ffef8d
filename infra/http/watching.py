"""Websockets that end with what their caller showed: a token, or a session."""

import asyncio
from collections.abc import Callable

from starlette.types import Message, Receive, Send

POLICY_VIOLATION = 1008
"""Code with which a websocket is closed to whoever may not have it."""
_LOOK_S = 1.0
"""A websocket ends this long after its caller logged out at the most, whether or not something is sent."""


def watched(good: Callable[[], bool], receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Ends of a websocket that close once what the caller showed is good no longer.

    Args:
        good: Whether it is still good.
        receive: Of the server.
        send: Of the server.

    Returns:
        What the application receives and sends by.
    """
    ended = False

    async def receive_while_good() -> Message:
        nonlocal ended
        coming = asyncio.ensure_future(receive())
        try:
            while not coming.done() and good():
                await asyncio.wait({coming}, timeout=_LOOK_S)
            if coming.done() and (coming.result()["type"] == "websocket.disconnect" or good()):
                return coming.result()
        finally:
            coming.cancel()
        if not ended:
            ended = True
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}

    async def send_while_good(message: Message) -> None:
        # What the application says after the end, its own close too, nobody hears.
        if not ended and (message["type"] != "websocket.send" or good()):
            await send(message)

    return receive_while_good, send_while_good
