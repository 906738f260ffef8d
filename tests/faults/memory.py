"""Resident memory of processes while something happens to them."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import psutil
from faults.task import meanwhile

PERIOD_S = 1.0
_MB = 1024 * 1024


class Memory:
    """Samples the resident memory of processes while entered; of one that is gone nothing more is noted.

    Args:
        pids: By role.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {role: psutil.Process(pid) for role, pid in pids.items()}
        self._samples: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(meanwhile(self._sample()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def most_above_start_mb(self, role: str) -> float:
        """How far memory ever rose above where it was at first."""
        sizes = [size_mb for _, size_mb in self._samples[role]]
        return max(sizes) - sizes[0]

    def growth_mb(self, role: str, since_s: float) -> float:
        """How much it grew since a moment of the monotonic clock.

        Medians of the first and the last fifth, whose middles are four fifths of the time apart.
        """
        sizes = [size_mb for moment_s, size_mb in self._samples[role] if moment_s >= since_s]
        fifth = max(1, len(sizes) // 5)
        return (_median(sizes[-fifth:]) - _median(sizes[:fifth])) * len(sizes) / max(1, len(sizes) - fifth)

    async def _sample(self) -> None:
        while True:
            for role, process in self._processes.items():
                try:
                    size_mb = process.memory_info().rss / _MB
                except psutil.NoSuchProcess:
                    continue
                self._samples[role].append((time.monotonic(), size_mb))
            await asyncio.sleep(PERIOD_S)


def _median(sizes: list[float]) -> float:
    return sorted(sizes)[len(sizes) // 2]
