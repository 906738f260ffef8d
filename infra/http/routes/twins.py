"""Twins: their live state, and creating and changing them."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from infra.http import change, lookup, validation
from infra.http.models import Accepted, Twin, TwinChange, TwinList
from infra.http.problems import Fault, Kind, ProblemError, answers
from infra.http.responses import json_response, twin_body
from infra.http.services import Services, Using
from schemas.errors import InvalidNameError
from schemas.names import check_twin_id, parse_type

PAGE_LIMIT = 1000

router = APIRouter(tags=["twins"])
TypeInPath = Annotated[str, Path(alias="type", description="Qualified type name.", examples=["incubator"])]
IdInPath = Annotated[str, Path(alias="id", description="Twin id.", examples=["incubator-1"])]


@router.get(
    "/api/twins",
    summary="List twins",
    responses=answers({200: TwinList}, Kind.UNKNOWN_TYPE, Kind.INVALID_VALUES, Kind.UNAVAILABLE),
)
async def twins(
    services: Using,
    type_name: Annotated[str | None, Query(alias="type", description="Only twins of this type.")] = None,
    status: Annotated[
        Literal["ok", "stale", "drifting", "quarantined"] | None,
        Query(description="Only twins of this status: a page may hold fewer than `limit`, or none, and have a `next`."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most items of a page.")] = 100,
    after: Annotated[str, Query(description="`next` of the page before.")] = "",
) -> Response:
    """Live state of twins, ordered by type and id. A twin that came or went meanwhile changes no other page."""
    if type_name is not None:
        lookup.deployed(services, type_name)
        names = [type_name]
    else:
        names = sorted(services.catalogue.types())
    keys = _keys(services, names, _place(after, type_name), limit + 1)
    last = keys[limit - 1] if len(keys) > limit else None
    return json_response(
        {"items": _items(services, keys[:limit], status), "next": f"{last[0]}/{last[1]}" if last else None}
    )


def _place(after: str, type_name: str | None) -> tuple[str, str]:
    """Type and id after which a page begins; among twins of one type the id alone will do."""
    if not after:
        return "", ""
    after_type, _, after_id = after.rpartition("/")
    try:
        parse_type(after_type := after_type or type_name or "")
        check_twin_id(after_id)
    except InvalidNameError:
        detail = "expected `next` of the page before, such as incubator/incubator-1"
        faults = [Fault(parameter="after", detail=detail)]
        raise ProblemError(Kind.INVALID_VALUES, f"after: {detail}", faults=faults) from None
    return after_type, after_id


def _keys(services: Services, names: list[str], after: tuple[str, str], limit: int) -> list[tuple[str, str]]:
    after_type, after_id = after
    keys: list[tuple[str, str]] = []
    for name in names:
        if name >= after_type and len(keys) < limit:
            start = after_id if name == after_type else ""
            keys += [(name, twin) for twin in services.states.page(name, start, limit - len(keys))]
    return keys


def _items(services: Services, keys: list[tuple[str, str]], status: str | None) -> list[dict[str, Any]]:
    states = [(key, services.states.twin(*key)) for key in keys]
    return [twin_body(*key, state) for key, state in states if state is not None and status in (None, state.status)]


@router.get(
    "/api/twins/{type}/{id}",  # noqa: FAST003 - an alias in `TypeInPath`
    summary="Show one twin",
    responses=answers({200: Twin}, Kind.UNKNOWN_TYPE, Kind.UNKNOWN_TWIN, Kind.INVALID_NAME, Kind.UNAVAILABLE),
)
async def twin(services: Using, type_name: TypeInPath, twin_id: IdInPath) -> Response:
    """Live state of one twin, as of its last committed record."""
    return json_response(twin_body(type_name, twin_id, lookup.existing_twin(services, type_name, twin_id)))


@router.put(
    "/api/twins/{type}/{id}",  # noqa: FAST003 - an alias in `TypeInPath`
    summary="Create or change a twin",
    responses=answers(
        {
            200: {"model": Twin, "description": "The worker applied it; this is the twin now."},
            202: {
                "model": Accepted,
                "description": "It is in the input topic, the worker did not apply it within 5 s.",
            },
        },
        Kind.INVALID_JSON,
        Kind.UNKNOWN_TYPE,
        Kind.REFUSED,
        Kind.TOO_LARGE,
        Kind.UNSUPPORTED_MEDIA_TYPE,
        Kind.INVALID_NAME,
        Kind.INVALID_VALUES,
        Kind.UNAVAILABLE,
    ),
)
async def put_twin(services: Using, type_name: TypeInPath, twin_id: IdInPath, body: TwinChange) -> Response:
    """Set parameters and tags; those that are not named keep their values. A twin that is not there is created.

    After 202 the change is in the input topic all the same: a record that is published later sees it.
    """
    found = lookup.deployed(services, type_name)
    validation.twin_id(twin_id)
    others = body.model_extra or {}
    validation.refuse_if(validation.change_faults(found.definition, body.parameters, body.tags, others))
    result = await change.apply(services, type_name, twin_id, body.parameters, body.tags)
    if isinstance(result, change.Pending):
        return json_response({"id": result.id, "partition": result.partition, "offset": result.offset}, 202)
    return json_response(twin_body(type_name, twin_id, result))
