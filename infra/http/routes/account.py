"""The loss account: what was expected of devices, what came, and what is missing."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from infra.http.models import AccountList, AccountTwins
from infra.http.problems import Kind, answers
from infra.http.responses import json_response
from infra.http.services import Using

MOST_TWINS = 1000

router = APIRouter(tags=["account"])

OfType = Annotated[str, Query(alias="type", description="Only of this type.")]


@router.get(
    "/api/account",
    operation_id="get_account",
    summary="Show the loss account",
    responses=answers({200: AccountList}, Kind.INVALID_VALUES),
)
async def account(services: Using, *, type_name: OfType = "") -> Response:
    """One row for each source and type, cumulative, as of the last commit; also while Kafka or a bridge is away.

    A caller who is limited sees the types that are granted as a whole.
    """
    rows = services.accounts.rows(type_name)
    return json_response({"items": [row for row in rows if services.grants.sees_all_of(row["type"])]})


@router.get(
    "/api/account/twins",
    operation_id="list_account_twins",
    summary="Show what is missing of which twin",
    responses=answers({200: AccountTwins}, Kind.INVALID_VALUES),
)
async def twins(
    services: Using,
    *,
    type_name: OfType = "",
    limit: Annotated[int, Query(ge=1, le=MOST_TWINS, description="Most items.")] = 100,
) -> Response:
    """Those of which most is missing first; the last 20 stretches of counters of each boot."""
    return json_response({"items": services.accounts.twins(type_name, limit, services.grants.sees)})
