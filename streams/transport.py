"""Faust's transport with blocks for records, read-committed input and positions that the engine owns.

It leans on private names of Faust 0.15.3, which `tests/unit/test_private_names.py` pins.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import aiokafka
import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from yarl import URL

from streams.block import Block
from streams.log.fetch_pace import FetchPace

_HELD_BACK_S = 0.01
"""So soon records are asked for again while a partition is held back."""
_GATHER_S = 0.01
"""So long records wait for others under a steady load."""

Positions = Callable[[], Mapping[int, int]]


class _BlockConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread; it reads committed records only, and asks again without 1.5 s of waiting."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:  # noqa: ANN401
        original = aiokafka.AIOKafkaConsumer
        overrides = transport.consumer_overrides

        def build(**kwargs: Any) -> aiokafka.AIOKafkaConsumer:  # noqa: ANN401
            return original(**{**kwargs, **overrides})

        # Faust hard-codes these arguments in the call itself, so the call is where they can be replaced.
        driver.aiokafka.AIOKafkaConsumer = build
        try:
            return super()._create_worker_consumer(transport)
        finally:
            driver.aiokafka.AIOKafkaConsumer = original


class BlockConsumer(driver.Consumer):
    """Faust's consumer: one message per partition and fetch, and no seek but to the engine's positions."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        self._pace = FetchPace(_GATHER_S)

    def _new_consumer_thread(self) -> _BlockConsumerThread:
        return _BlockConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _wait_next_records(self, timeout: float) -> tuple[dict[TP, list[Any]] | None, set[TP] | None]:  # noqa: ASYNC109
        if self.flow_active and self.assignment() and not self._get_active_partitions():
            # All are held back at once, as happens under a steady load: Faust would sleep for a second.
            await self.sleep(_HELD_BACK_S)
            return {}, set()
        found: tuple[dict[TP, list[Any]] | None, set[TP] | None] = await super()._wait_next_records(timeout)
        return found

    async def _getmany(self, active_partitions: Any, timeout: float) -> dict[TP, list[Any]]:  # noqa: ANN401, ASYNC109
        # aiokafka is not told when a partition that Faust held back may go on: what was fetched of it would lie there
        # until the time is over.
        held_back = len(active_partitions) < len(self.assignment())
        fetched = await super()._getmany(active_partitions, min(timeout, _HELD_BACK_S) if held_back else timeout)
        for partition in fetched:
            # Faust drops what lies below the last offset that it saw. The engine knows its position, and must see it
            # when the input begins anew.
            self._read_offset.pop(partition, None)
        self._keep_pace(fetched)
        return {partition: _merged(blocks) for partition, blocks in fetched.items() if blocks}

    def _keep_pace(self, fetched: Mapping[TP, list[Any]]) -> None:
        came = sum(len(block.data) for blocks in fetched.values() for block in blocks if isinstance(block, Block))
        consumer = self._thread._consumer  # noqa: SLF001 - as Faust itself does
        if consumer is not None:
            self._pace.keep(consumer, came, time.monotonic())

    def on_buffer_drop(self, tp: TP) -> None:
        """A buffer of Faust's has room again; that alone must not let a paused partition go on."""
        super().on_buffer_drop(tp)
        if tp in self._paused_partitions:
            self._get_active_partitions().discard(tp)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:  # noqa: ANN401
        if not isinstance(record, Block):
            return super()._to_message(tp, record)
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.end - 1,
            int(record.timestamps_ms[-1]) / 1000 if len(record) else 0.0,
            0,
            (),
            None,
            record,
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to where the engine stands; the group's offset is for lag tools only."""
        positions: Mapping[int, int] = self.transport.positions()
        sought = {}
        for tp in self.assignment():
            position = positions.get(tp.partition)
            if position is not None:
                await self._seek(tp, position)
                sought[tp] = position
        return sought


class BlockTransport(driver.Transport):
    """Faust's aiokafka transport with `BlockConsumer`."""

    Consumer = BlockConsumer

    def __init__(
        self, app: faust.App, urls: list[URL], positions: Positions, consumer_overrides: dict[str, Any]
    ) -> None:
        super().__init__(urls, app)
        self.positions = positions
        self.consumer_overrides = consumer_overrides


def _merged(blocks: list[Any]) -> list[Any]:
    """Join blocks that follow each other; what is no block (another topic's records) passes through."""
    runs: list[list[Any]] = []
    for block in blocks:
        last = runs[-1][-1] if runs else None
        if isinstance(block, Block) and isinstance(last, Block) and block.start == last.end:
            runs[-1].append(block)
        else:
            runs.append([block])
    return [Block.joined(run) if len(run) > 1 else run[0] for run in runs]
