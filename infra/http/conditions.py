"""Conditions of a change: it is made only if the twin still is as the client saw it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated
from weakref import WeakValueDictionary

import msgspec
from fastapi import Header

from infra.http.problems import Kind, ProblemError
from schemas.messages import stable_id
from twins.layout import TwinState

if TYPE_CHECKING:
    from infra.http.services import Services

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="`ETag` of the twin as the client saw it, or `*`: change it only if it still is so.",
    ),
]
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", pattern=r"^\*$", description="`*`: only if there is no such twin yet.")
]
_TAG = re.compile(r'(?:W/)?"[^"]*"')


def etag(state: TwinState) -> str:
    """What a `PUT` can change of a twin, as a short text: what devices and steps change all the time is not in it."""
    content = msgspec.json.encode([state.parameters, state.tags], order="deterministic").decode()
    return f'"{stable_id("etag", content)}"'


class Conditions:
    """Lets conditional changes of a twin pass one after the other, each when the one before can be seen."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._pending: dict[tuple[str, str], int] = {}

    @asynccontextmanager
    async def met(
        self, services: "Services", type_name: str, twin: str, if_match: str | None, if_none_match: str | None
    ) -> AsyncIterator[None]:
        """Hold other conditional changes of the twin back while entered.

        Raises:
            ProblemError: the condition is not met, or can't be looked at now.
        """
        if if_match is None and if_none_match is None:
            yield
            return
        key = (type_name, twin)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            offset = self._pending.get(key)
            if offset is not None:
                await self._until_applied(services, key, offset)
            _check(services.states.twin(type_name, twin), if_match, if_none_match)
            yield

    def wait_for(self, type_name: str, twin: str, offset: int) -> None:
        """A change is in the input topic and was not applied yet: nothing conditional goes before it."""
        self._pending[type_name, twin] = offset

    async def _until_applied(self, services: "Services", key: tuple[str, str], offset: int) -> None:
        if not await services.states.wait_applied(*key, offset, services.applied_timeout_s):
            detail = "a change of this twin before was not applied yet: whether the condition is met can't be told"
            raise ProblemError(Kind.UNAVAILABLE, detail, headers={"retry-after": "5"})
        self._pending.pop(key, None)


def _check(state: TwinState | None, if_match: str | None, if_none_match: str | None) -> None:
    if if_none_match is not None and state is not None:
        raise ProblemError(Kind.PRECONDITION_FAILED, "there is such a twin already")
    if if_match is None:
        return
    if state is None:
        raise ProblemError(Kind.PRECONDITION_FAILED, "there is no such twin")
    now = etag(state)
    if if_match.strip() != "*" and now not in _TAG.findall(if_match):
        raise ProblemError(Kind.PRECONDITION_FAILED, f"the twin was changed meanwhile: its ETag is {now}")
