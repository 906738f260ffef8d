"""How many partitions the topics of others have."""

import asyncio
from typing import TYPE_CHECKING, Self, cast

import pytest
from structlog.testing import capture_logs

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
    fault: Exception | None = None

    def __init__(self, _: KafkaOptions) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def partitions_of(self, _: str) -> int:
        _Cluster.asked += 1
        if _Cluster.fault is not None:
            raise _Cluster.fault
        return _Cluster.partitions


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    monkeypatch.setattr(targets, "LogAdmin", _Cluster)
    monkeypatch.setattr(_Cluster, "partitions", 8)
    monkeypatch.setattr(_Cluster, "asked", 0)
    monkeypatch.setattr(_Cluster, "fault", None)
    return ManualClock()


@pytest.fixture
def known(clock: ManualClock) -> Targets:
    class Options:
        kafka = KafkaOptions("")

    return Targets(cast("EngineOptions", Options), clock)


async def _moment() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_topic_that_was_made_anew_is_written_to_by_its_new_partitions(
    known: Targets, clock: ManualClock
) -> None:
    assert [await known.partitions("t") for _ in range(3)] == [8, 8, 8]
    assert _Cluster.asked == 1
    _Cluster.partitions = 4
    clock.advance(seconds=BELIEVED_S)
    assert [await known.partitions("t") for _ in range(3)] == [8, 8, 8], "no flush waits for the answer"
    await _moment()
    assert (await known.partitions("t"), _Cluster.asked) == (4, 2)
    _Cluster.partitions = 2
    known.forget()
    assert await known.partitions("t") == 2


async def test_a_question_that_fails_keeps_what_is_known_and_fails_no_flush(known: Targets, clock: ManualClock) -> None:
    await known.partitions("t")
    _Cluster.fault = ConnectionError("away")
    clock.advance(seconds=BELIEVED_S)
    with capture_logs() as logs:
        assert await known.partitions("t") == 8
        await _moment()
        assert await known.partitions("t") == 8
    assert [(entry["topic"], entry["believed"]) for entry in logs] == [("t", 8)]
    _Cluster.fault, _Cluster.partitions = None, 4
    clock.advance(seconds=BELIEVED_S)
    await known.partitions("t")
    await _moment()
    assert await known.partitions("t") == 4
    known.forget()
    _Cluster.fault = ConnectionError("away")
    with pytest.raises(ConnectionError):
        await known.partitions("t")
