"""Twins: their live state, and creating and changing them."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from infra.access.grants import Scope
from infra.http import change, lookup, validation
from infra.http.access import needs
from infra.http.conditions import IfMatch, IfNoneMatch
from infra.http.idempotency import IdempotencyKey
from infra.http.models import Accepted, Twin, TwinChange, TwinList
from infra.http.problems import Fault, Kind, ProblemError, answers
from infra.http.responses import json_response, twin_body, twin_response
from infra.http.services import Calling, Services, Using
from schemas.errors import InvalidNameError
from schemas.names import check_twin_id, parse_type

PAGE_LIMIT = 1000

router = APIRouter(tags=["twins"])
TypeInPath = Annotated[str, Path(alias="type", description="Qualified type name.", examples=["incubator"])]
IdInPath = Annotated[str, Path(alias="id", description="Twin id.", examples=["incubator-1"])]


@router.get(
    "/api/twins",
    operation_id="list_twins",
    summary="List twins",
    responses=answers({200: TwinList}, Kind.UNKNOWN_TYPE, Kind.INVALID_VALUES, Kind.UNAVAILABLE),
)
async def twins(
    services: Using,
    *,
    type_name: Annotated[str | None, Query(alias="type", description="Only twins of this type.")] = None,
    status: Annotated[
        Literal["ok", "stale", "drifting", "quarantined"] | None,
        Query(description="Only twins of this status: a page may hold fewer than `limit`, or none, and have a `next`."),
    ] = None,
    tags: Annotated[
        list[str] | None,
        Query(
            alias="tag",
            max_length=32,
            description="Only twins with this tag, `name=value`; repeatable. As with `status` a page may hold fewer.",
            examples=[["room=attic"]],
        ),
    ] = None,
    beginning: Annotated[
        str, Query(alias="id", max_length=64, description="Only twins whose id begins so.", examples=["incubator-"])
    ] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most items of a page.")] = 100,
    after: Annotated[str, Query(description="`next` of the page before.")] = "",
) -> Response:
    """Live state of twins, ordered by type and id. A twin that came or went meanwhile changes no other page."""
    if type_name is not None:
        lookup.deployed(services, type_name)
        names = [type_name]
    else:
        names = sorted(services.catalogue.types())
    wanted = dict(_tag(text) for text in tags or ())
    keys = _keys(services, names, _place(after, type_name), limit + 1, beginning)
    last = keys[limit - 1] if len(keys) > limit else None
    return json_response(
        {"items": _items(services, keys[:limit], status, wanted), "next": f"{last[0]}/{last[1]}" if last else None}
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


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        detail = "expected name=value"
        raise ProblemError(Kind.INVALID_VALUES, f"tag: {detail}", faults=[Fault(parameter="tag", detail=detail)])
    return name, value


def _keys(
    services: Services, names: list[str], after: tuple[str, str], limit: int, beginning: str
) -> list[tuple[str, str]]:
    after_type, after_id = after
    keys: list[tuple[str, str]] = []
    # The last place before all that begin so: no character of an id is behind `~`.
    before = beginning[:-1] + chr(max(ord(beginning[-1]) - 1, 0)) + "~" if beginning else ""
    for name in names:
        if name >= after_type and len(keys) < limit:
            start = max(after_id if name == after_type else "", before)
            found = services.states.page(name, start, limit - len(keys))
            keys += [(name, twin) for twin in found if twin.startswith(beginning)]
    return keys


def _items(
    services: Services, keys: list[tuple[str, str]], status: str | None, tags: dict[str, str]
) -> list[dict[str, Any]]:
    states = [(key, services.states.twin(*key)) for key in keys]
    return [
        twin_body(*key, state)
        for key, state in states
        if state is not None and status in (None, state.status) and tags.items() <= state.tags.items()
    ]


@router.get(
    "/api/twins/{type}/{id}",  # noqa: FAST003 - an alias in `TypeInPath`
    operation_id="get_twin",
    summary="Show one twin",
    responses=answers({200: Twin}, Kind.UNKNOWN_TYPE, Kind.UNKNOWN_TWIN, Kind.INVALID_NAME, Kind.UNAVAILABLE),
)
async def twin(services: Using, type_name: TypeInPath, twin_id: IdInPath) -> Response:
    """Live state of one twin, as of its last committed record."""
    return twin_response(type_name, twin_id, lookup.existing_twin(services, type_name, twin_id))


@router.put(
    "/api/twins/{type}/{id}",  # noqa: FAST003 - an alias in `TypeInPath`
    operation_id="put_twin",
    summary="Create or change a twin",
    openapi_extra=needs(Scope.REQUEST),
    responses=answers(
        {
            200: {"model": Twin, "description": "The worker applied it; this is the twin now."},
            202: {
                "model": Accepted,
                "description": "It is in the input topic, the worker did not apply it within 5 s.",
            },
        },
        Kind.UNKNOWN_TYPE,
        Kind.REFUSED,
        Kind.IN_DOUBT,
        Kind.PRECONDITION_FAILED,
        Kind.KEY_TAKEN,
        Kind.INVALID_NAME,
        Kind.INVALID_VALUES,
        Kind.UNAVAILABLE,
    ),
)
async def put_twin(
    services: Using,
    caller: Calling,
    type_name: TypeInPath,
    twin_id: IdInPath,
    body: TwinChange,
    *,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
    key: IdempotencyKey = None,
) -> Response:
    """Set parameters and tags; those that are not named keep their values. A twin that is not there is created.

    After 202 the change is in the input topic all the same: a record that is published later sees it. With `If-Match`
    nothing is changed unless parameters and tags still are those of that `ETag`, with `If-None-Match: *` unless the
    twin is new: 412.
    """
    found = lookup.deployed(services, type_name)
    validation.twin_id(twin_id)
    if not services.grants.sees(type_name, twin_id):
        raise ProblemError(Kind.FORBIDDEN, "the caller is limited to other twins")
    others = body.model_extra or {}
    validation.refuse_if(validation.change_faults(found.definition, body.parameters, body.tags, others))

    async def put() -> Response:
        async with services.conditions.met(services, type_name, twin_id, if_match, if_none_match):
            result = await change.apply(services, type_name, twin_id, body.parameters, body.tags)
            if isinstance(result, change.Pending):
                services.conditions.wait_for(type_name, twin_id, result.offset)
        if isinstance(result, change.Pending):
            place = {"id": result.id, "partition": result.partition, "offset": result.offset}
            return json_response(place, 202)
        return twin_response(type_name, twin_id, result)

    content = [body.parameters, body.tags, if_match, if_none_match]
    return await services.answered.once(caller, key, f"PUT {type_name}/{twin_id}", content, put)
