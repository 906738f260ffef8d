"""Async servers for sync fixtures: an event loop in a thread of its own, whatever loop the tests run on."""

import asyncio
import threading
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

T = TypeVar("T")
_TIMEOUT_S = 110.0


class BackgroundLoop:
    """An event loop in a thread, which enters and leaves async context managers for sync code."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        """Stop the thread and close the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT_S)
        self._loop.close()

    def run(self, work: "Coroutine[None, None, T]") -> T:
        """Run a coroutine there and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_TIMEOUT_S)

    def enter(self, server: "AbstractAsyncContextManager[T]") -> T:
        """Enter an async context manager there."""

        async def entered() -> T:
            return await server.__aenter__()

        return self.run(entered())

    def leave(self, server: "AbstractAsyncContextManager[T]") -> None:
        """Leave it."""

        async def left() -> None:
            await server.__aexit__(None, None, None)

        self.run(left())
