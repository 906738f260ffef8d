"""Workers answer what they are asked, also when Kafka could not take the first answer."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import pytest
from aiokafka.errors import KafkaTimeoutError

from infra.roles import candidates
from schemas.bundle import Bundle, bundle_of
from schemas.deployment import Deployment
from schemas.errors import Problem
from streams.log.client import KafkaOptions

if TYPE_CHECKING:
    from twins.catalogue import Catalogue

T = TypeVar("T")
BUNDLE = bundle_of({"twin.yaml": b""})
CANDIDATE = Deployment(type="pump", project="main", version="1.1.0", hash=BUNDLE.hash, chunks=1, time_ns=7)


class _Definitions:
    """A catalogue with one candidate."""

    def __init__(self) -> None:
        self.asked = {"pump": CANDIDATE}

    def candidates(self) -> dict[str, Deployment]:
        return self.asked

    def is_over(self, candidate: Deployment) -> bool:
        return candidate not in self.asked.values()

    def bundle(self, content: str) -> Bundle | None:
        return BUNDLE if content == BUNDLE.hash else None

    async def until(self, look: Callable[[], T | None]) -> T:
        while (found := look()) is None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)
        return found


class _Writer:
    """Kafka that can't take the first record."""

    written: list[bytes]
    attempts: int

    def __init__(self, options: KafkaOptions) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def send(self, _topic: str, _key: bytes, value: bytes, **_: Any) -> asyncio.Future[tuple[int, int]]:
        _Writer.attempts += 1
        done: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        if _Writer.attempts == 1:
            done.set_exception(KafkaTimeoutError())
        else:
            _Writer.written.append(value)
            done.set_result((0, 0))
        return done


@pytest.fixture(autouse=True)
def _log(monkeypatch: pytest.MonkeyPatch) -> None:
    _Writer.written, _Writer.attempts = [], 0
    monkeypatch.setattr(candidates, "LogWriter", _Writer)
    monkeypatch.setattr(candidates, "RETRY_S", 0.01)


async def test_a_report_that_could_not_be_written_is_written_again_and_the_worker_goes_on() -> None:
    compiled = []

    async def compile_(candidate: Deployment) -> list[Problem]:
        compiled.append(candidate)
        return []

    definitions = _Definitions()
    answering = asyncio.create_task(
        candidates.answer_candidates(KafkaOptions(""), cast("Catalogue", definitions), compile_)
    )
    async with asyncio.timeout(5):
        while not _Writer.written:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)
    assert compiled == [CANDIDATE]
    assert not answering.done()
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)


async def test_nobody_is_told_any_more_when_the_question_was_withdrawn() -> None:
    definitions = _Definitions()

    async def compile_(_: Deployment) -> list[Problem]:
        definitions.asked = {}
        return []

    answering = asyncio.create_task(
        candidates.answer_candidates(KafkaOptions(""), cast("Catalogue", definitions), compile_)
    )
    await asyncio.sleep(0.05)
    assert not _Writer.attempts
    assert not answering.done()
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)
