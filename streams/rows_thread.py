"""The threads that own all rows, of which one works at a time; one that waits for something outside lets others go on.

Work of a partition is done in the order in which it was asked for, and never before the one before it has ended. Where
nothing waits there is one thread, and all work is done in the order in which it was asked for.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_IDLE_S = 10.0
"""After which a thread without work ends."""


@dataclass(slots=True, eq=False)
class _Work:
    partition: int
    call: Callable[[], Any]
    future: Future[Any]


class _Here(threading.local):
    """Of a thread: whose it is, and what is told when its work waits and when it goes on."""

    threads: "RowsThread | None" = None
    waits: Callable[[], None] | None = None
    goes_on: Callable[[], None] | None = None


_here = _Here()


@dataclass(slots=True, eq=False)
class RowsThread:
    """Does work on rows."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _asked: deque[_Work] = field(default_factory=deque)
    _in_work: set[int] = field(default_factory=set)
    _returning: deque[threading.Lock] = field(default_factory=deque)
    _is_taken: bool = False
    _idle: int = 0
    _come: threading.Condition = field(init=False)

    def __post_init__(self) -> None:
        """Let threads wait for work."""
        self._come = threading.Condition(self._lock)

    def submit(self, partition: int, call: Callable[[], Any]) -> Future[Any]:
        """Have something done for a partition."""
        work = _Work(partition, call, Future())
        with self._lock:
            self._asked.append(work)
            self._hand_on()
        return work.future

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let other partitions' work be done meanwhile; called by work."""
        with self._lock:
            self._is_taken = False
            self._hand_on()
        try:
            yield
        finally:
            turn = None
            with self._lock:
                if self._is_taken:
                    turn = threading.Lock()
                    turn.acquire()
                    self._returning.append(turn)
                else:
                    self._is_taken = True
            if turn is not None:
                turn.acquire()

    def _hand_on(self) -> None:
        """Have the next one go on, if nobody works: first of all who has waited."""
        if self._is_taken:
            return
        if self._returning:
            self._is_taken = True
            self._returning.popleft().release()
        elif any(work.partition not in self._in_work for work in self._asked):
            if self._idle:
                self._come.notify()
            else:
                self._idle += 1
                threading.Thread(target=self._work, name="rows", daemon=True).start()

    def _next(self) -> _Work | None:
        if not self._is_taken:
            for index, work in enumerate(self._asked):
                if work.partition not in self._in_work:
                    del self._asked[index]
                    self._is_taken = True
                    self._in_work.add(work.partition)
                    return work
        return None

    def _work(self) -> None:
        _here.threads = self
        while True:
            with self._lock:
                while (work := self._next()) is None:
                    if not self._come.wait(_IDLE_S) and self._next_is_none():
                        self._idle -= 1
                        return
                self._idle -= 1
            try:
                if work.future.set_running_or_notify_cancel():
                    _carry_out(work)
            finally:
                with self._lock:
                    self._in_work.discard(work.partition)
                    self._is_taken = False
                    self._idle += 1
                    if self._returning:
                        self._hand_on()

    def _next_is_none(self) -> bool:
        return self._is_taken or not any(work.partition not in self._in_work for work in self._asked)


def _carry_out(work: _Work) -> None:
    try:
        result = work.call()
    except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
        work.future.set_exception(error)
    else:
        work.future.set_result(result)


@contextmanager
def telling(waits: Callable[[], None], goes_on: Callable[[], None]) -> Iterator[None]:
    """What is told, by this thread, when the work inside this context waits and when it goes on."""
    _here.waits, _here.goes_on = waits, goes_on
    try:
        yield
    finally:
        _here.waits = _here.goes_on = None


@contextmanager
def others_go_on() -> Iterator[None]:
    """Surrounds waiting for something outside: rows of this partition stay as they are, others are worked on.

    Anywhere else than in a thread of rows this does nothing.
    """
    threads, waits, goes_on = _here.threads, _here.waits, _here.goes_on
    if threads is None:
        yield
        return
    if waits is not None:
        waits()
    with threads.waiting():
        yield
    if goes_on is not None:
        goes_on()
