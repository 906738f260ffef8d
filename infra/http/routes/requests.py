"""Requests of operators to twins."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path
from starlette.responses import Response

from infra.access.grants import Scope
from infra.http import change, lookup, validation
from infra.http.access import needs
from infra.http.idempotency import IdempotencyKey
from infra.http.models import Accepted
from infra.http.problems import Kind, ProblemError, answers
from infra.http.responses import json_response
from infra.http.routes.twins import IdInPath, TypeInPath
from infra.http.services import Calling, Using
from schemas.headers import Kind as RecordKind

router = APIRouter(tags=["requests"])
_ARGUMENTS = {"additionalProperties": {"type": ["boolean", "number", "string"]}}


@router.post(
    "/api/twins/{type}/{id}/requests/{name}",  # noqa: FAST003 - an alias in `TypeInPath`
    operation_id="send_request",
    summary="Ask something of a twin",
    openapi_extra=needs(Scope.REQUEST),
    status_code=202,
    responses=answers(
        {202: {"model": Accepted, "description": "The request is in the input topic."}},
        Kind.UNKNOWN_TYPE,
        Kind.UNKNOWN_TWIN,
        Kind.UNKNOWN_REQUEST,
        Kind.IN_DOUBT,
        Kind.INVALID_NAME,
        Kind.INVALID_VALUES,
        Kind.KEY_TAKEN,
        Kind.UNAVAILABLE,
    ),
)
async def post_request(
    services: Using,
    caller: Calling,
    type_name: TypeInPath,
    twin_id: IdInPath,
    name: Annotated[str, Path(description="A declared request.", examples=["temperature_desired"])],
    arguments: Annotated[
        dict[str, Any],
        Body(default_factory=dict, json_schema_extra=_ARGUMENTS, examples=[{"temperature_desired": 30}]),
    ],
    key: IdempotencyKey = None,
) -> Response:
    """Put a request into the input topic; no body is a request without arguments.

    The outcome is an event `request_accepted` or `request_rejected` with the id of this answer; a value out of its
    declared range is rejected there, with a reason. Unknown, missing or ill-typed arguments are refused here. With
    `Idempotency-Key` a repeat is answered as the first was, and sends nothing.
    """
    found = lookup.deployed(services, type_name)
    lookup.existing_twin(services, type_name, twin_id)
    request = found.definition.request(name)
    if request is None:
        known = ", ".join(sorted({*found.definition.requests, "reset", "release"}))
        raise ProblemError(Kind.UNKNOWN_REQUEST, f"those of type {type_name} are {known}")
    validation.refuse_if(validation.argument_faults(request, arguments))

    async def ask() -> Response:
        pending = await change.write(
            services, RecordKind.REQUEST, type_name, twin_id, name=name, body=arguments, record_id=uuid.uuid4().hex
        )
        return json_response({"id": pending.id, "partition": pending.partition, "offset": pending.offset}, 202)

    what = f"POST {type_name}/{twin_id}/{name}"
    return await services.answered.once(caller, key, what, arguments, ask)
