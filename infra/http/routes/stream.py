"""Server-sent events."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from infra.http import lookup, validation
from infra.http.problems import Kind, ProblemError, answers
from infra.http.responses import twin_body
from infra.http.services import Services, Using
from infra.http.stream import EventStream, frames

CLIENTS_LIMIT = 100

router = APIRouter(tags=["stream"])
_STREAM = {"description": "Never ends.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}


@router.get(
    "/api/stream",
    summary="Follow state, commands and events",
    response_class=EventStream,
    responses=answers({200: _STREAM}, Kind.UNKNOWN_TYPE, Kind.INVALID_NAME, Kind.UNAVAILABLE),
)
async def stream(
    services: Using,
    type_name: Annotated[str, Query(alias="type", description="Only of this type.")] = "",
    twin_id: Annotated[str, Query(alias="id", description="Only of the twin with this id.")] = "",
) -> Response:
    """Server-sent events named `state`, `command` and `event`, each with the JSON object that it is about.

    With type and id the stream begins with the twin's present state. Of state only the latest of each twin is sent
    when it changes faster than the client reads; a client that falls 1,000 commands and events behind is cut off.
    A deleted twin is a `state` with `"status": "deleted"`. Nothing is repeated after a reconnect.
    """
    if type_name:
        lookup.deployed(services, type_name)
    if twin_id:
        validation.twin_id(twin_id)
    if services.feed.clients >= CLIENTS_LIMIT:
        raise ProblemError(Kind.UNAVAILABLE, f"{CLIENTS_LIMIT} event streams are open already")
    row = services.states.raw(type_name, twin_id)
    first = None if row is None else (type_name, twin_id, row)

    def encode(of_type: str, twin: str, value: bytes | None) -> bytes | None:
        return encode_state(services, of_type, twin, value)

    heartbeat_s = services.heartbeat_s
    return EventStream(
        frames(services.feed, encode, type_name=type_name, twin=twin_id, first=first, heartbeat_s=heartbeat_s)
    )


def encode_state(services: Services, type_name: str, twin: str, value: bytes | None) -> bytes | None:
    """JSON of a twin from its row, None when the row can't be read."""
    if value is None:
        return msgspec.json.encode({"type": type_name, "id": twin, "status": "deleted"})
    state = services.states.read(type_name, value)
    return None if state is None else msgspec.json.encode(twin_body(type_name, twin, state))
