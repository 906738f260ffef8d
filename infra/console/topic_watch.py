"""What the topics hold and how fast they grow, asked of Kafka only while somebody looks."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiokafka.errors import KafkaError

from schemas.clock import SystemClock
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions

_EVERY_S = 2.0
_TIMEOUT_S = 10.0
_PREFIX = "twinstream."


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic.

    Attributes:
        records: Offsets that were ever given out in all its partitions; markers of transactions count, too.
        per_s: How many more there are each second; None before the second look.
    """

    name: str
    partitions: int
    records: int
    per_s: float | None


class TopicWatch:
    """Looks every two seconds for as long as anybody watches.

    Attributes:
        topics: What was seen last.
        fault: Why nothing can be seen now, `""` when it can.
        version: Grows with every look.
    """

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._clock = SystemClock()
        self._watchers = 0
        self._wanted = asyncio.Event()
        self.topics: list[Topic] = []
        self.fault = "not asked yet"
        self.version = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Want to know."""
        self._watchers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._wanted.clear()

    async def run(self) -> None:
        """Look until cancelled, whenever somebody watches."""
        while True:
            await self._wanted.wait()
            try:
                async with LogAdmin(self._options) as admin:
                    await self._look(admin)
            except (KafkaError, TimeoutError) as error:
                self.fault = str(error) or type(error).__name__
                self.version += 1
                await asyncio.sleep(_EVERY_S)

    async def _look(self, admin: LogAdmin) -> None:
        before: dict[str, int] = {}
        before_s = 0.0
        while self._watchers:
            async with asyncio.timeout(_TIMEOUT_S):
                names = sorted(name for name in await admin.topics() if name.startswith(_PREFIX))
                ends = await admin.end_offsets(names)
            now_s = self._clock.monotonic_s()
            sums = dict.fromkeys(names, 0)
            partitions = dict.fromkeys(names, 0)
            for (name, _), end in ends.items():
                sums[name] += end
                partitions[name] += 1
            passed_s = now_s - before_s if before else 0.0
            self.topics = [
                Topic(
                    name,
                    partitions[name],
                    sums[name],
                    max(0.0, sums[name] - before[name]) / passed_s if passed_s and name in before else None,
                )
                for name in names
            ]
            before, before_s, self.fault = sums, now_s, ""
            self.version += 1
            await asyncio.sleep(_EVERY_S)
