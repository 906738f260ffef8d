# ruff: noqa: SLF001  # what aiokafka keeps to itself is made up
"""Whether the group lets a worker join, as the watchdog is told from its own thread."""

import asyncio
from types import SimpleNamespace
from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import GroupAuthorizationFailedError
from structlog.testing import capture_logs

from streams.source import Source


def _source(coordinator: object) -> Source:
    consumer = SimpleNamespace(_coordinator=coordinator)
    thread = SimpleNamespace(_consumer=consumer, thread_loop=asyncio.get_running_loop())
    app: Any = SimpleNamespace(_consumer=SimpleNamespace(_thread=thread))
    return Source(app, "source")


def _coordinator(node: int | None) -> Any:
    made: Any = GroupCoordinator.__new__(GroupCoordinator)
    made.coordinator_id, made._pending_exception, made._error_consumed_fut = node, None, None
    made._coordination_task = asyncio.get_running_loop().create_future()
    made._closing = asyncio.get_running_loop().create_future()
    made._subscription = SimpleNamespace(abort_waiters=lambda _: None)
    return made


async def test_a_member_without_coordinator_is_refused_and_one_that_did_not_begin_is_not() -> None:
    assert _source(_coordinator(None)).is_refused()
    assert not _source(_coordinator(3)).is_refused()
    assert not _source(None).is_refused(), "whoever hangs before is found"
    nobody: Any = SimpleNamespace(_consumer=None)
    assert not Source(nobody, "source").is_refused()


async def test_a_member_that_was_denied_its_group_asks_again_at_every_look_and_tells_it_once() -> None:
    coordinator = _coordinator(3)
    source = _source(coordinator)
    with capture_logs() as lines:
        for _ in range(2):
            waiting = asyncio.ensure_future(coordinator._push_error_to_user(GroupAuthorizationFailedError("g")))
            await asyncio.sleep(0)
            assert source.is_refused()
            await asyncio.wait_for(waiting, 1)
            assert not source.is_refused()
    assert [line["event"] for line in lines] == ["the group can't be joined, trying again"], "once"
