"""Bundles as the catalogue puts them together from their chunks, and the candidates among them."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from schemas import bundle as bundles
from schemas.bundle import Bundle, chunk_key, chunks_of, read_folder, unpack
from schemas.clock import ManualClock
from schemas.deployment import CANDIDATE, TYPE, Deployment, key
from schemas.topics import DEFINITIONS
from streams.log.client import KafkaOptions
from streams.log.record import LogRecord
from twins.catalogue import Catalogue

BUNDLE = read_folder(Path(__file__).parents[1] / "types" / "statistics")


def _take(catalogue: Catalogue, index: int, chunk: bytes) -> None:
    catalogue._take(LogRecord(DEFINITIONS, 0, 0, 0, chunk_key(BUNDLE.hash, index), chunk, ()))  # noqa: SLF001 - as it comes


def test_a_bundle_is_there_once_all_chunks_are_in_whatever_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "CHUNK_BYTES", 300)
    chunks = chunks_of(BUNDLE.pack())
    assert len(chunks) > 2
    catalogue = Catalogue(KafkaOptions(""))
    for index in range(len(chunks) - 1, 0, -1):
        _take(catalogue, index, chunks[index])
        assert catalogue.bundle(BUNDLE.hash) is None
    _take(catalogue, 0, chunks[0])
    assert catalogue.bundle(BUNDLE.hash) == BUNDLE


def test_a_damaged_bundle_is_whole_again_after_it_was_written_again() -> None:
    (chunk,) = chunks_of(BUNDLE.pack())
    catalogue = Catalogue(KafkaOptions(""))
    _take(catalogue, 0, chunk[:50])
    assert catalogue.bundle(BUNDLE.hash) is None
    _take(catalogue, 0, chunk)
    assert catalogue.bundle(BUNDLE.hash) == BUNDLE


def _asked(time_ns: int) -> Deployment:
    return Deployment(type="pump", project="main", version="1.0.0", hash=BUNDLE.hash, chunks=1, time_ns=time_ns)


def _record(record_key: bytes, value: Deployment | None) -> LogRecord:
    encoded = msgspec.json.encode(value) if value is not None else None
    return LogRecord(DEFINITIONS, 0, 0, 0, record_key, encoded, ())


class _Log:
    """Definitions with batches of records, the first of which lay there before."""

    batches: Sequence[list[LogRecord]]

    def __init__(self, *_: Any, **__: Any) -> None:
        self._left = list(self.batches)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def read(self, timeout_s: float) -> list[LogRecord]:
        if not self._left:
            await asyncio.sleep(timeout_s)
        return self._left.pop(0) if self._left else []

    async def caught_up(self) -> bool:
        return True


async def test_a_question_that_its_dead_deployer_left_behind_is_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(start_ns=10**18)
    old, new = _asked(clock.now_ns() - 3600 * 10**9), _asked(clock.now_ns() - 30 * 10**9)
    asked = key(CANDIDATE, "pump")
    monkeypatch.setattr("twins.catalogue.Follower", _Log)
    _Log.batches = [[_record(asked, old)]]
    async with Catalogue(KafkaOptions(""), clock) as catalogue:
        await catalogue.ready()
        assert catalogue.candidates() == {}
        assert catalogue.is_over(old)
    # One that is still waited for is one, and so is one that comes later from somebody whose clock is slow.
    for _Log.batches, found in (([[_record(asked, new)]], new), ([[], [_record(asked, old)]], old)):
        async with Catalogue(KafkaOptions(""), clock) as catalogue, asyncio.timeout(5):
            await catalogue.until(lambda catalogue=catalogue: catalogue.candidates().get("pump"))  # type: ignore[misc]
            assert catalogue.candidates() == {"pump": found}
            assert not catalogue.is_over(found)


def test_a_question_is_over_once_it_is_withdrawn_or_another_came() -> None:
    catalogue = Catalogue(KafkaOptions(""))
    first, second = _asked(catalogue._clock.now_ns()), _asked(catalogue._clock.now_ns() + 1)  # noqa: SLF001
    assert not catalogue.is_over(first), "not asked yet"
    catalogue._take(_record(key(CANDIDATE, "pump"), first))  # noqa: SLF001 - as it comes
    assert not catalogue.is_over(first)
    catalogue._take(_record(key(CANDIDATE, "pump"), second))  # noqa: SLF001
    assert catalogue.is_over(first)
    catalogue._take(_record(key(CANDIDATE, "pump"), None))  # noqa: SLF001
    assert catalogue.is_over(first)
    assert catalogue.is_over(second)


async def test_bundles_are_unpacked_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def noted(data: bytes, content: str) -> Bundle:
        threads.append(threading.current_thread())
        return unpack(data, content)

    (chunk,) = chunks_of(BUNDLE.pack())
    monkeypatch.setattr("twins.catalogue.unpack", noted)
    monkeypatch.setattr("twins.catalogue.Follower", _Log)
    bundle = LogRecord(DEFINITIONS, 0, 0, 0, chunk_key(BUNDLE.hash, 0), chunk, ())
    _Log.batches = [[bundle, _record(key(TYPE, "pump"), _asked(1))]]
    async with Catalogue(KafkaOptions("")) as catalogue:
        await catalogue.ready()
        assert list(catalogue.types()) == ["pump"]
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


def test_only_the_latest_candidates_are_remembered() -> None:
    catalogue = Catalogue(KafkaOptions(""))
    for time_ns in range(2000):
        catalogue._take(_record(key(CANDIDATE, "pump"), _asked(time_ns)))  # noqa: SLF001 - as it comes
        catalogue._take(_record(key(CANDIDATE, "pump"), None))  # noqa: SLF001
    assert [catalogue.is_over(_asked(time_ns)) for time_ns in (0, 1990, 1999, 2000)] == [False, True, True, False]
