"""The engine: one Faust app per twin type that steps blocks and commits them exactly once.

Per partition, in this order: fence (initialise the transactional producer), restore (rows and position from the
changelog), seek there, process. All of it in a handler of `on_rebalance_complete`, the one signal that Faust awaits
before it seeks and resumes.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from streams.block import Block
from streams.faults import Faults
from streams.faust_app import build_app
from streams.opening import Opener
from streams.options import EngineOptions
from streams.partition_run import Host, PartitionRun
from streams.processor import Observer, ProcessorFactory, SilentObserver
from streams.source import Source

if TYPE_CHECKING:
    from streams.partition import PartitionRows

__all__ = ["Engine", "EngineOptions"]

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Engine:
    """Hosts processors inside a Faust app. Hand `app` to Faust's worker."""

    def __init__(self, options: EngineOptions, factory: ProcessorFactory, observer: Observer | None = None) -> None:
        self._options = options
        self._observer: Observer = observer or SilentObserver()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._runs: dict[int, PartitionRun] = {}
        self._kept: dict[int, PartitionRows] = {}
        self._faults: dict[int, Faults] = defaultdict(Faults)
        self._opening: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self.app = build_app(options, self.positions, self._take)
        self._source = Source(self.app, options.source)
        self._opener = Opener(options, factory, self._observer, self._in_thread)
        self._host = Host(options, self._observer, self._source, self._in_thread, self._wake.set, self._broken)
        self.app.on_rebalance_complete.connect(self._on_rebalance_complete, weak=False)
        self.app.on_partitions_revoked.connect(self._on_partitions_revoked, weak=False)
        self.app.on_before_shutdown.connect(self._on_before_shutdown, weak=False)
        self.app.task(self._flusher)

    def positions(self) -> dict[int, int]:
        """Next offset to process of every partition that is open here."""
        return {number: run.rows.position for number, run in self._runs.items()}

    async def _take(self, block: Block) -> None:
        run = self._runs.get(block.partition)
        if run is not None:
            await run.take(block)

    async def _flusher(self) -> None:
        """Start flushes as they fall due."""
        while not self.app.should_stop:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.flush.urgent_interval_s):
                    await self._wake.wait()
            self._wake.clear()
            for run in list(self._runs.values()):
                run.flush_if_due(time.monotonic())

    # -- assignment ----------------------------------------------------------------------------------------------

    async def _on_rebalance_complete(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        assigned = self._source.assigned()
        log.info("partitions assigned", partitions=sorted(assigned))
        await self._give_up(set(self._runs) - assigned)
        self._kept = {number: kept for number, kept in self._kept.items() if number in assigned}
        opening = [self._start_opening(number) for number in sorted(assigned - self._runs.keys())]
        await asyncio.gather(*opening, return_exceptions=True)
        if not any(task.cancelled() for task in opening):
            self._observer.owned(frozenset(self._runs))

    async def _on_partitions_revoked(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        await self._give_up_all()

    async def _on_before_shutdown(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        await self._give_up_all()

    def _start_opening(self, number: int, after_s: float = 0.0) -> asyncio.Task[None]:
        task = asyncio.create_task(self._open(number, after_s), name=f"open-{number}")
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return task

    async def _open(self, number: int, delay_s: float) -> None:
        """Open a partition, however often Kafka is away. Cancelled when the partition is taken away."""
        while True:
            await asyncio.sleep(delay_s)
            # A worker that was frozen must not fence the partition's next owner.
            if number not in self._source.assigned():
                return
            try:
                rows, transactions = await self._opener.open(number, self._kept.pop(number, None))
            except Exception as error:  # noqa: BLE001 - whatever it was, the partition is rebuilt from the log
                log.warning("partition could not be opened, trying again", partition=number, error=repr(error))
                self._observer.failed(number, "open")
                delay_s = self._faults[number].delay_s()
            else:
                self._runs[number] = PartitionRun(rows, transactions, self._faults[number], self._host)
                return

    def _broken(self, run: PartitionRun, delay_s: float) -> None:
        """Throw a partition's rows away and build it anew, then read again from where the log says."""
        number = run.number

        async def rebuild() -> None:
            self._source.pause(number)
            if self._runs.get(number) is run:
                del self._runs[number]
            await run.close(self._give_up_timeout_s)
            await self._open(number, delay_s)
            if number in self._runs:
                await self._source.seek(number, self._runs[number].rows.position)
                self._source.resume(number)

        task = asyncio.create_task(rebuild(), name=f"rebuild-{number}")
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _give_up_all(self) -> None:
        """Flush and let go of everything, within a third of the session timeout; what can't be flushed is dropped."""
        self._observer.given_up()
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        if opening:
            await asyncio.wait(opening, timeout=self._give_up_timeout_s)
        await self._give_up(set(self._runs))

    async def _give_up(self, numbers: set[int]) -> None:
        if not numbers:
            return
        log.info("partitions given up", partitions=sorted(numbers))
        runs = [self._runs.pop(number) for number in numbers]
        for rows in await asyncio.gather(*(run.close(self._give_up_timeout_s) for run in runs)):
            if rows is not None:
                self._kept[rows.number] = rows

    @property
    def _give_up_timeout_s(self) -> float:
        return self._options.session_timeout_s / 3

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
