"""What was: time series and commands of a twin."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from connectors.documents import COMMAND_TIMES, Collection
from connectors.series import BUCKETS_LIMIT, SERIES_LIMIT, TIME_MAX_NS, bucket_width
from connectors.stores import StoreUnavailableError
from infra.http import lookup
from infra.http.models import CommandList, Series, SeriesBuckets
from infra.http.moments import moment
from infra.http.problems import Fault, Kind, ProblemError, answers
from infra.http.responses import json_response
from infra.http.routes.twins import IdInPath, TypeInPath
from infra.http.services import Services, Using

STORE_TIMEOUT_S = 20.0
COMMANDS_LIMIT = 1000

router = APIRouter(tags=["history"])
_SERIES_PROBLEMS = (
    Kind.UNKNOWN_TYPE,
    Kind.UNKNOWN_TWIN,
    Kind.UNKNOWN_FIELD,
    Kind.INVALID_NAME,
    Kind.INVALID_VALUES,
    Kind.UNAVAILABLE,
)

Moment = Annotated[
    str | None,
    Query(description="Nanoseconds since the Unix epoch, or RFC 3339; inclusive.", examples=["2026-01-01T00:00:00Z"]),
]


@router.get(
    "/api/twins/{type}/{id}/series",  # noqa: FAST003 - an alias in `TypeInPath`
    operation_id="get_series",
    summary="Read the time series of one field",
    responses=answers(
        {200: Series},
        *_SERIES_PROBLEMS,
    ),
)
async def series(
    services: Using,
    type_name: TypeInPath,
    twin_id: IdInPath,
    field: Annotated[str, Query(description="A field that the type stores as time series.", examples=["T_heater"])],
    start: Moment = None,
    stop: Moment = None,
    limit: Annotated[int, Query(ge=1, le=SERIES_LIMIT, description="Most points.")] = 10_000,
) -> Response:
    """The oldest `limit` points from `start` to `stop`, both inclusive, oldest first.

    There may be more when as many points come as `limit` says: go on with `start` one nanosecond after the last.
    """
    unit, start_ns, stop_ns = _asked(services, type_name, twin_id, field, start, stop)
    with _store("the time-series store"):
        async with asyncio.timeout(STORE_TIMEOUT_S):
            found = await services.series.series(type_name, twin_id, field, start_ns, stop_ns, limit)
    return json_response({"field": field, "unit": unit, "time_ns": found.time_ns, "value": found.value})


@router.get(
    "/api/twins/{type}/{id}/series/buckets",  # noqa: FAST003 - an alias in `TypeInPath`
    operation_id="get_series_buckets",
    summary="Read the time series of one field, thinned out",
    responses=answers(
        {200: SeriesBuckets},
        *_SERIES_PROBLEMS,
    ),
)
async def buckets(
    services: Using,
    type_name: TypeInPath,
    twin_id: IdInPath,
    field: Annotated[str, Query(description="A field that the type stores as time series.", examples=["T_heater"])],
    start: Annotated[str, Query(description="As for a series.", examples=["2026-01-01T00:00:00Z"])],
    stop: Annotated[str, Query(description="As for a series.", examples=["2026-01-02T00:00:00Z"])],
    count: Annotated[int, Query(ge=1, le=BUCKETS_LIMIT, description="Most buckets, such as pixels of a plot.")] = 800,
) -> Response:
    """All points from `start` to `stop`, both inclusive, reduced to equal stretches of time.

    Each has the smallest, largest and mean value of its points; stretches without points are left out.
    """
    unit, start_ns, stop_ns = _asked(services, type_name, twin_id, field, start, stop)
    assert start_ns is not None and stop_ns is not None  # noqa: S101, PT018 - both are mandatory
    start_ns, stop_ns = min(start_ns, TIME_MAX_NS), min(stop_ns, TIME_MAX_NS)
    width_ns = bucket_width(start_ns, stop_ns, count)
    with _store("the time-series store"):
        async with asyncio.timeout(STORE_TIMEOUT_S):
            found = await services.series.buckets(type_name, twin_id, field, start_ns, stop_ns, count)
    return json_response({"field": field, "unit": unit, "width_ns": width_ns} | asdict(found))


def _asked(
    services: Services, type_name: str, twin_id: str, field: str, start: str | None, stop: str | None
) -> tuple[str, int | None, int | None]:
    """Unit of the field, and the bounds.

    Raises:
        ProblemError: there is no such type, twin or field, or the bounds are none.
    """
    lookup.existing_twin(services, type_name, twin_id)
    definition = lookup.deployed(services, type_name).definition
    stored = definition.outputs.timeseries.fields
    if field not in stored:
        detail = f"type {type_name} stores no such field; there are: {', '.join(stored) or 'none'}"
        raise ProblemError(Kind.UNKNOWN_FIELD, detail)
    start_ns, stop_ns = moment("start", start), moment("stop", stop)
    if start_ns is not None and stop_ns is not None and start_ns > stop_ns:
        detail = f"start {start} is after stop {stop}"
        raise ProblemError(Kind.INVALID_VALUES, detail, faults=[Fault(parameter="start", detail=detail)])
    return definition.unit_of(field), start_ns, stop_ns


@router.get(
    "/api/twins/{type}/{id}/commands",  # noqa: FAST003 - an alias in `TypeInPath`
    operation_id="list_commands",
    summary="List the commands of a twin",
    responses=answers(
        {200: CommandList},
        Kind.UNKNOWN_TYPE,
        Kind.UNKNOWN_TWIN,
        Kind.INVALID_NAME,
        Kind.INVALID_VALUES,
        Kind.UNAVAILABLE,
    ),
)
async def commands(
    services: Using,
    type_name: TypeInPath,
    twin_id: IdInPath,
    limit: Annotated[int, Query(ge=1, le=COMMANDS_LIMIT, description="Most items of a page.")] = 100,
    after: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> Response:
    """Commands newest first, with what became of each: issued, sent, acked, expired, refused or failed."""
    lookup.existing_twin(services, type_name, twin_id)
    try:
        with _store("the metadata store"):
            async with asyncio.timeout(STORE_TIMEOUT_S):
                page = await services.documents.list(
                    Collection.COMMANDS, type_name=type_name, twin=twin_id, after=after, limit=limit
                )
    except ValueError as error:
        faults = [Fault(parameter="after", detail=str(error))]
        raise ProblemError(Kind.INVALID_VALUES, f"after: {error}", faults=faults) from None
    items = [item | {key: item.get(key) for key in (*COMMAND_TIMES, "reason")} for item in page.items]
    return json_response({"items": items, "next": page.next})


@contextmanager
def _store(what: str) -> Iterator[None]:
    try:
        yield
    except (StoreUnavailableError, TimeoutError) as error:
        detail = f"{what} is away: {error or 'no answer in time'}"
        raise ProblemError(Kind.UNAVAILABLE, detail, headers={"retry-after": "5"}) from None
