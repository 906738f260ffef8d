"""The audit trail."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from infra.access.audit import Entry, matches, place, shown
from infra.access.grants import Scope
from infra.http.access import needs
from infra.http.models import AuditList
from infra.http.problems import Fault, Kind, ProblemError, answers
from infra.http.responses import json_response
from infra.http.services import Services, Using
from schemas.deployment import Deployment, HistoryItem

PAGE_LIMIT = 1000

router = APIRouter(tags=["access"])


@router.get(
    "/api/audit",
    operation_id="list_audit_entries",
    summary="Show who changed what",
    openapi_extra=needs(Scope.ADMIN, whole=True),
    responses=answers({200: AuditList}),
)
async def audit(
    services: Using,
    *,
    who: Annotated[str, Query(description="Only of the caller with this name.")] = "",
    type_name: Annotated[str, Query(alias="type", description="Only about this type.")] = "",
    twin: Annotated[str, Query(description="Only about twins with this id.")] = "",
    result: Annotated[str, Query(description="Only with this result.", pattern="^(done|refused|failed)?$")] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most items of a page.")] = 100,
    after: Annotated[str, Query(description="`next` of the page before.")] = "",
) -> Response:
    """Changes, and those that were tried, newest first: the latest 20,000, and every deployment.

    The topic `twinstream.audit` has all of the former, `twinstream.definitions` the latter.
    """
    before = _place(after) if after else None
    wanted = {"who": who, "type": type_name, "twin": twin, "result": result}
    told = services.audit_trail.newest(limit + 1, before, **wanted)
    switched = [
        entry for entry in _switches(services) if matches(entry, wanted) and (before is None or place(entry) < before)
    ]
    found = sorted(told + switched, key=place, reverse=True)[: limit + 1]
    last = found[limit - 1] if len(found) > limit else None
    cursor = f"{last.time_ns}-{last.id}" if last else None
    return json_response({"items": [shown(entry) for entry in found[:limit]], "next": cursor})


def _switches(services: Services) -> list[Entry]:
    """Versions that were put into force or taken out of it: whoever did that spoke with Kafka itself."""
    deployed = [_switch("deploy", item) for item in services.catalogue.history()]
    return deployed + [_switch("undeploy", item) for item in services.catalogue.undeployed()]


def _switch(action: str, item: HistoryItem | Deployment) -> Entry:
    return Entry(
        id=f"{action}-{item.type}",
        time_ns=item.time_ns,
        who=item.who,
        via="kafka",
        credential="",
        address="",
        action=action,
        path="",
        type=item.type,
        twin="",
        content=f"{item.version} {item.hash}",
        result="done",
        status=200,
    )


def _place(after: str) -> tuple[int, str]:
    time_ns, _, entry_id = after.partition("-")
    if not (time_ns.isdecimal() and time_ns.isascii() and len(time_ns) <= 20 and entry_id):  # noqa: PLR2004 - 64 bits
        detail = "expected `next` of the page before"
        faults = [Fault(parameter="after", detail=detail)]
        raise ProblemError(Kind.INVALID_VALUES, f"after: {detail}", faults=faults)
    return int(time_ns), entry_id
