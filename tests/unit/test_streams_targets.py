"""How many partitions the topics of others have."""

from typing import TYPE_CHECKING, Self, cast

import pytest

from schemas.clock import ManualClock
from streams import targets
from streams.log.client import KafkaOptions
from streams.targets import BELIEVED_S, Targets

if TYPE_CHECKING:
    from streams.options import EngineOptions


class _Cluster:
    """A topic that somebody else deletes and makes anew."""

    partitions = 8
    asked = 0

    def __init__(self, _: KafkaOptions) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def partitions_of(self, _: str) -> int:
        _Cluster.asked += 1
        return _Cluster.partitions


async def test_a_topic_that_was_made_anew_is_written_to_by_its_new_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    class Options:
        kafka = KafkaOptions("")

    clock = ManualClock()
    monkeypatch.setattr(targets, "LogAdmin", _Cluster)
    known = Targets(cast("EngineOptions", Options), clock)
    assert [await known.partitions("t") for _ in range(3)] == [8, 8, 8]
    assert _Cluster.asked == 1
    _Cluster.partitions = 4
    clock.advance(seconds=BELIEVED_S)
    assert await known.partitions("t") == 4
    _Cluster.partitions = 2
    known.forget()
    assert await known.partitions("t") == 2
