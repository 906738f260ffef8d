"""The instance behind the API: where its log is, and what its roles are doing."""

from fastapi import APIRouter
from starlette.responses import Response

from infra import VERSION
from infra.access.grants import Scope
from infra.http.access import needs
from infra.http.models import Instance, Status
from infra.http.problems import answers
from infra.http.responses import json_response
from infra.http.services import Using
from infra.status import as_document

router = APIRouter(tags=["instance"])
_WHOLE = needs(Scope.READ, whole=True)


@router.get(
    "/api/instance",
    operation_id="get_instance",
    summary="Show where the instance's log is",
    openapi_extra=_WHOLE,
    responses=answers({200: Instance}),
)
async def instance(services: Using) -> Response:
    """Where clients find Kafka, and how topics are made; never credentials."""
    return json_response({"version": VERSION, "kafka": services.kafka.model_dump()})


@router.get(
    "/api/status",
    operation_id="get_status",
    summary="Show what every role is doing",
    openapi_extra=_WHOLE,
    responses=answers({200: Status}),
)
async def status(services: Using) -> Response:
    """Every role of the API's data directory, up or not, as of a second ago at most.

    Waits 2 s at most for those that don't answer; what it tells is as of 2 s ago then.
    """
    return json_response(as_document(await services.status()))
