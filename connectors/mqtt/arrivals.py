"""A bounded queue from one thread into the event loop."""

import asyncio
import contextlib
import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Arrivals(Generic[T]):
    """Items that a thread puts and the event loop takes, in order; with a limit the thread waits while it is full."""

    def __init__(self) -> None:
        self._most: int | None = None
        self._items: list[T] = []
        self._closed = False
        self._changed = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._some = asyncio.Event()

    def put(self, item: T) -> None:
        """Add `item`, in the thread; wait for room. After `close` it is dropped."""
        with self._changed:
            self._changed.wait_for(lambda: self._most is None or len(self._items) < self._most or self._closed)
            if self._closed:
                return
            self._items.append(item)
            if len(self._items) > 1:
                return
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody takes any more
            self._loop.call_soon_threadsafe(self._some.set)

    def limit(self, most: int) -> None:
        """Bound the number of items from now on."""
        with self._changed:
            self._most = most

    async def take(self) -> list[T]:
        """Everything there is, in the event loop; nothing only after `wake`."""
        await self._some.wait()
        self._some.clear()
        with self._changed:
            items, self._items = self._items, []
            self._changed.notify_all()
        return items

    def wake(self) -> None:
        """Let `take` return although there may be nothing, in the event loop."""
        self._some.set()

    def close(self) -> None:
        """Free the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
