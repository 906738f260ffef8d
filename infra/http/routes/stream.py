"""Server-sent events."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from infra.http import lookup, positions, validation
from infra.http.problems import Fault, Kind, ProblemError, answers
from infra.http.responses import twin_body
from infra.http.services import Calling, Services, Using
from infra.http.stream import Client, EventStream, frames

CLIENTS_LIMIT = 100

router = APIRouter(tags=["stream"])
_STREAM = {"description": "Never ends.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}


@router.get(
    "/api/stream",
    operation_id="stream_events",
    summary="Follow state, commands and events",
    response_class=EventStream,
    responses=answers({200: _STREAM}, Kind.UNKNOWN_TYPE, Kind.INVALID_NAME, Kind.UNAVAILABLE),
)
async def stream(
    services: Using,
    caller: Calling,
    type_name: Annotated[str, Query(alias="type", description="Only of this type.")] = "",
    twin_id: Annotated[str, Query(alias="id", description="Only of the twin with this id.")] = "",
    last_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            max_length=positions.TEXT_LIMIT,
            description="`id` of the last event that was received, as browsers send it after a reconnect: commands and"
            " events since then come first.",
            examples=["incubator:c0=17,e0=3"],
        ),
    ] = None,
) -> Response:
    """Server-sent events named `state`, `command` and `event`, each with the JSON object that it is about.

    With type and id the stream begins with the twin's present state. Of state only the latest of each twin is sent
    when it changes faster than the client reads; a client that falls 1,000 commands and events behind is cut off.
    A deleted twin is a `state` with `"status": "deleted"`. With `Last-Event-ID` all commands and events that were
    missed come first, each once, or an event `reset` when that is too much, and the present state of each twin.
    """
    if type_name:
        lookup.deployed(services, type_name)
    if twin_id:
        validation.twin_id(twin_id)
    if services.feed.clients >= CLIENTS_LIMIT:
        raise ProblemError(Kind.UNAVAILABLE, f"{CLIENTS_LIMIT} event streams are open already")
    last = None if last_id is None else _position(last_id)

    def encode(of_type: str, twin: str, value: bytes | None) -> bytes | None:
        return encode_state(services, of_type, twin, value)

    client = Client(
        type_name=type_name,
        twin=twin_id,
        first=_present(services, type_name, twin_id, all_of_them=last is not None),
        last=last,
        sees=services.grants.sees,
        good=lambda: services.gate.good(caller),
    )
    heartbeat_s = services.heartbeat_s
    return EventStream(frames(services.feed, encode, client, heartbeat_s=heartbeat_s, history=services.history))


def _position(last_id: str) -> positions.Positions:
    try:
        return positions.read(last_id)
    except ValueError as error:
        faults = [Fault(parameter="Last-Event-ID", detail=str(error))]
        raise ProblemError(Kind.INVALID_VALUES, f"Last-Event-ID: {error}", faults=faults) from None


def _present(services: Services, type_name: str, twin: str, *, all_of_them: bool) -> list[tuple[str, str, bytes]]:
    """Rows to begin with: of the one twin that is meant, or, who comes back, of all that are."""
    names = [type_name] if type_name else sorted(services.catalogue.types()) if all_of_them else []
    keys = [(name, one) for name in names for one in ([twin] if twin else _ids(services, name) if all_of_them else ())]
    rows = [(*key, services.states.raw(*key)) for key in keys]
    return [(name, one, row) for name, one, row in rows if row is not None]


def _ids(services: Services, type_name: str) -> list[str]:
    return services.states.page(type_name, "", services.states.count(type_name))


def encode_state(services: Services, type_name: str, twin: str, value: bytes | None) -> bytes | None:
    """JSON of a twin from its row, None when the row can't be read."""
    if value is None:
        return msgspec.json.encode({"type": type_name, "id": twin, "status": "deleted"})
    state = services.states.read(type_name, value)
    return None if state is None else msgspec.json.encode(twin_body(type_name, twin, state))
