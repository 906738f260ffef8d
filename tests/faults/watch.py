"""What a reader of committed outputs sees, and when."""

import time
from collections import defaultdict
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import numpy as np
from faults.task import meanwhile

from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.record import LogRecord

_NS_PER_S = 1e9


class Watch:
    """Follows the time series of a type while entered; event times in them are when records were sent.

    Attributes:
        latencies_s: From sending to reading, by twin.
    """

    def __init__(self, kafka: KafkaOptions, topic: str) -> None:
        self._follower = Follower(kafka, topics=(topic,), start="latest")
        self._stack = AsyncExitStack()
        self._arrivals: defaultdict[int, list[float]] = defaultdict(list)
        self.latencies_s: defaultdict[str, list[float]] = defaultdict(list)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._follower)
            await stack.enter_async_context(meanwhile(self._follow()))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def partitions(self) -> int:
        """How many had an output."""
        return len(self._arrivals)

    def longest_silence_s(self, since_s: float) -> float:
        """The longest time without an output in any partition from a moment of the monotonic clock to now."""
        now_s = time.monotonic()
        longest_s = 0.0
        for arrivals in self._arrivals.values():
            moments = [since_s, *(moment for moment in arrivals if moment > since_s), now_s]
            longest_s = max(longest_s, float(np.diff(moments).max()))
        return longest_s

    def forget(self) -> None:
        """Begin anew."""
        self._arrivals.clear()
        self.latencies_s.clear()

    async def _follow(self) -> None:
        while True:
            for record in await self._follower.read(timeout_s=0.2):
                self._note(record)

    def _note(self, record: LogRecord) -> None:
        self._arrivals[record.partition].append(time.monotonic())
        now_ns = time.time_ns()
        for line in (record.value or b"").splitlines():
            place, _, time_ns = line.split(b" ")
            self.latencies_s[place.decode().rpartition("twin=")[2]].append((now_ns - int(time_ns)) / _NS_PER_S)
