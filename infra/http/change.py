"""Changing a twin: one record in its type's input topic, then what the worker makes of it."""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from infra.http.feed import REFUSED
from infra.http.problems import Kind, ProblemError
from infra.http.services import LogUnavailableError, Services
from infra.tracing import CURRENT
from schemas.headers import TRACEPARENT, input_headers
from schemas.headers import Kind as RecordKind
from schemas.messages import Event
from schemas.topics import TypeTopics
from twins.layout import TwinState

GRACE_S = 1.0
"""How long a refusal may trail behind a row that does not show the change."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A record that is in the input topic.

    Attributes:
        id: Under which its outcome is reported.
    """

    id: str
    partition: int
    offset: int


async def write(
    services: Services, kind: RecordKind, type_name: str, twin: str, *, name: str, body: object, record_id: str
) -> Pending:
    """Write one record to the input topic of a type.

    Raises:
        ProblemError: the log did not confirm it in time.
    """
    path = f"/api/twins/{type_name}/{twin}" + (f"/requests/{name}" if name else "")
    headers = input_headers(
        received_ns=services.clock.now_ns(), source=f"http:{path}", kind=kind, name=name, record_id=record_id
    )
    if parent := CURRENT.get():
        headers.append((TRACEPARENT, parent))
    topic = TypeTopics(type_name).telemetry
    try:
        place = await services.writer.write(topic, twin.encode(), msgspec.json.encode(body), headers)
    except LogUnavailableError as error:
        became = "it may or may not take effect" if error.in_doubt else "nothing was changed"
        detail = f"the log did not confirm the record ({error}); {became}"
        later = {"retry-after": "5"}
        raise ProblemError(Kind.UNAVAILABLE, detail, headers=later, in_doubt=error.in_doubt) from None
    return Pending(record_id, *place)


async def apply(
    services: Services, type_name: str, twin: str, parameters: Mapping[str, Any], tags: Mapping[str, str]
) -> TwinState | Pending:
    """Change a twin and wait for the worker.

    Returns:
        The changed twin, or what is pending when the worker took too long.

    Raises:
        ProblemError: the worker refused the change, or the log is away.
    """
    record_id = uuid.uuid4().hex
    body = {"parameters": dict(parameters), "tags": dict(tags)}
    with services.feed.outcome(type_name, twin, record_id) as outcome:
        pending = await write(services, RecordKind.PARAMETERS, type_name, twin, name="", body=body, record_id=record_id)
        timeout_s = services.applied_timeout_s
        waiting = asyncio.ensure_future(services.states.wait_applied(type_name, twin, pending.offset, timeout_s))
        try:
            either: set[asyncio.Future[Any]] = {waiting, outcome}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            _raise_if_refused(outcome)
            applied = await waiting
            # Rows and events come over different partitions, so a refusal may be the later of the two.
            if applied and not _holds(services.states.twin(type_name, twin), parameters, tags):
                await asyncio.wait({outcome}, timeout=GRACE_S)
            _raise_if_refused(outcome)
        finally:
            waiting.cancel()
    state = services.states.twin(type_name, twin) if applied else None
    return pending if state is None else state


def _holds(state: TwinState | None, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> bool:
    return state is not None and parameters.items() <= state.parameters.items() and tags.items() <= state.tags.items()


def _raise_if_refused(outcome: asyncio.Future[Event]) -> None:
    if outcome.done() and outcome.result().name == REFUSED:
        reason = str(outcome.result().data.get("reason", ""))
        raise ProblemError(Kind.REFUSED, f"the worker refused the change: {reason}")
