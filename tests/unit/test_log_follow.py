# ruff: noqa: SLF001  # what aiokafka reads
"""Following without a group: how long a broker may gather."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from streams.log import follow
from streams.log.client import KafkaOptions
from streams.log.follow import Follower

PLACE = TopicPartition("t", 0)


class _Consumer:
    """One record of 1,000 bytes at each read."""

    def __init__(self) -> None:
        self._fetcher = SimpleNamespace(_fetch_min_bytes=1)
        self._offset = 0
        self.stopped = False

    def assignment(self) -> set[TopicPartition]:
        return {PLACE}

    async def stop(self) -> None:
        self.stopped = True

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        self._offset += 1
        record = SimpleNamespace(
            topic="t", partition=0, offset=self._offset, timestamp=0, key=b"k", value=b"." * 1000, headers=()
        )
        return {PLACE: [record]}


@pytest.mark.parametrize(("gather_s", "least", "most"), [(0.0, 1, 1), (0.5, 100, 501)])
async def test_under_a_steady_load_a_broker_gathers_for_those_who_can_wait(
    gather_s: float, least: int, most: int
) -> None:
    follower = Follower(KafkaOptions("127.0.0.1:1"), topics=["t"], gather_s=gather_s)
    consumer: Any = _Consumer()
    follower._consumer, follower._next_refresh_s = consumer, float("inf")
    follower._pace.fetched(0, asyncio.get_running_loop().time() - 1.0)
    (record,) = await follower.read()
    assert follower.positions == {("t", 0): record.offset + 1}
    assert least <= consumer._fetcher._fetch_min_bytes <= most


async def test_who_is_cancelled_while_it_takes_up_its_partitions_leaves_no_connection_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer: Any = _Consumer()
    looking = asyncio.Event()

    async def connected(*_: object) -> Any:
        monkeypatch.undo()
        return consumer

    async def look(*_: object, **__: object) -> None:
        looking.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(follow, "retrying", connected)
    follower = Follower(KafkaOptions("127.0.0.1:1"), topics=["t"])
    follower._assign = look  # type: ignore[method-assign]
    entering = asyncio.create_task(follower.__aenter__())
    await looking.wait()
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert consumer.stopped
