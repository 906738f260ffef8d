"""Dead letters: records that could not be used."""

from itertools import islice
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from infra.http.deadletters import parse_cursor
from infra.http.models import DeadLetterList
from infra.http.problems import Fault, Kind, ProblemError, answers
from infra.http.responses import json_response
from infra.http.services import Using
from schemas.reasons import Reason

PAGE_LIMIT = 1000

router = APIRouter(tags=["dead letters"])


@router.get(
    "/api/deadletters",
    summary="List dead letters",
    responses=answers({200: DeadLetterList}, Kind.INVALID_VALUES),
)
async def deadletters(
    services: Using,
    type_name: Annotated[str, Query(alias="type", description="Only of this type.")] = "",
    reason: Annotated[Reason | None, Query(description="Only with this reason.")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most items of a page.")] = 100,
    after: Annotated[str, Query(description="`next` of the page before.")] = "",
) -> Response:
    """Newest first, from the newest 10,000 (or 64 MiB); older ones are in the topic `twinstream.deadletter`."""
    try:
        place = parse_cursor(after) if after else None
    except ValueError:
        detail = "expected `next` of the page before"
        faults = [Fault(parameter="after", detail=detail)]
        raise ProblemError(Kind.INVALID_VALUES, f"after: {detail}", faults=faults) from None
    newest = services.dead_letters.newest(type_name=type_name, reason=reason or "", after=place)
    found = list(islice(newest, limit + 1))
    cursor = found[limit - 1].cursor if len(found) > limit else None
    return json_response({"items": [msgspec.Raw(entry.raw) for entry in found[:limit]], "next": cursor})
