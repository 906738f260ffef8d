"""What a reader of committed outputs sees, and when."""

import asyncio
import time
from collections import defaultdict
from types import TracebackType
from typing import Self

import numpy as np

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
        self._task: asyncio.Task[None] | None = None
        self._arrivals: defaultdict[int, list[float]] = defaultdict(list)
        self.latencies_s: defaultdict[str, list[float]] = defaultdict(list)

    async def __aenter__(self) -> Self:
        await self._follower.__aenter__()
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._follower.__aexit__(kind, error, trace)

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
