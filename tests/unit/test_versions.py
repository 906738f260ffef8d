"""Versions that step nothing any more, and when they do again."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

from infra.roles import candidates, versions
from infra.settings import Settings
from schemas.bundle import Bundle, bundle_of
from schemas.deployment import Deployment, HistoryItem
from schemas.errors import Problem
from streams.log.client import KafkaOptions

T = TypeVar("T")
BROKEN, MENDED = (bundle_of({"twin.yaml": text}) for text in (b"broken", b"mended"))


class _Definitions:
    """A catalogue that knows two versions, the mended one in force."""

    def __init__(self, _: KafkaOptions) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def ready(self) -> None:
        pass

    def bundle(self, content: str) -> Bundle | None:
        return {one.hash: one for one in (BROKEN, MENDED)}.get(content)

    def history(self, _: str) -> list[HistoryItem]:
        return []

    async def until(self, look: Callable[[], T | None]) -> T:
        found = look()
        assert found is not None
        return found


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> versions.Versions:
    """The mended version is in force and stands for the broken one."""

    async def compile_(self: versions.Versions, bundle: Bundle, **_: bool) -> list[Problem]:
        self._loaded[bundle.hash] = bundle  # type: ignore[assignment]
        return []

    monkeypatch.setattr(versions, "Catalogue", _Definitions)
    monkeypatch.setattr(versions.Versions, "_compile", compile_)
    found = versions.Versions(
        "pump", Settings(data_dir=tmp_path), KafkaOptions(""), lambda _: None, (BROKEN.hash, "older")
    )
    found._in_force = MENDED.hash  # noqa: SLF001 - as `preload` finds it
    return found


async def test_a_version_that_was_given_up_is_itself_again_once_it_is_deployed_again(
    made: versions.Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: dict[str, Any] = made._loaded  # noqa: SLF001 - what processors are given
    await made.provide(BROKEN.hash)
    await made.provide("older")
    assert loaded[BROKEN.hash] == loaded["older"] == MENDED
    asked = Deployment(type="pump", project="main", version="1", hash=BROKEN.hash, chunks=1, time_ns=1)
    answers = []

    async def answer(_: KafkaOptions, __: object, compile_: candidates.Compile) -> None:
        answers.append(await compile_(asked))

    monkeypatch.setattr(versions, "answer_candidates", answer)
    await made.start()
    async with asyncio.timeout(5):
        while not answers:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)
    await made.close()
    assert answers == [[]]
    assert loaded[BROKEN.hash] == BROKEN, "who rolls back to it gets it, not what stood for it"
    assert loaded["older"] == MENDED


async def test_what_failed_once_is_tried_again_for_whoever_asks_again(
    made: versions.Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_ = versions.Versions._compile  # noqa: SLF001

    async def fail(*_: object) -> list[Problem]:
        raise OSError("no space left")

    monkeypatch.setattr(versions.Versions, "_compile", fail)
    for wanted in (MENDED.hash, BROKEN.hash, "older"):
        with pytest.raises(OSError, match="no space"):
            await made.provide(wanted)
    monkeypatch.setattr(versions.Versions, "_compile", compile_)
    for wanted in (BROKEN.hash, "older", MENDED.hash):
        await made.provide(wanted)
    await made.close()


async def test_definitions_that_cannot_be_read_at_first_are_waited_for(
    made: versions.Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[str] = []

    class Away(_Definitions):
        async def ready(self) -> None:
            if len(left) < 2:
                message = "Kafka is away"
                raise ConnectionError(message)

        async def __aexit__(self, *_: object) -> None:
            left.append("left")

    monkeypatch.setattr(versions, "Catalogue", Away)
    monkeypatch.setattr(versions, "_RETRY_S", 0.0)
    await made.provide(MENDED.hash)
    assert left == ["left", "left"]
    await made.close()
    assert len(left) == 3, "the one that was followed"
