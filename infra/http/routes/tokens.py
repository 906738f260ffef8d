"""API tokens: making, listing and revoking them."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path
from starlette.responses import Response

from infra.access.grants import Grants, Scope
from infra.access.tokens import Token, new_secret
from infra.http.access import needs
from infra.http.models import NewToken, TokenCreated, TokenItem, TokenList
from infra.http.moments import moment
from infra.http.problems import Fault, Kind, ProblemError, answers
from infra.http.responses import json_response
from infra.http.services import Calling, LogUnavailableError, Services, Using
from schemas.errors import InvalidNameError

router = APIRouter(tags=["access"])
_ADMIN = needs(Scope.ADMIN, whole=True)


@router.get(
    "/api/tokens",
    operation_id="list_tokens",
    summary="List API tokens",
    openapi_extra=_ADMIN,
    responses=answers({200: TokenList}),
)
async def tokens(services: Using) -> Response:
    """Every token, oldest first, also those that were revoked or are expired; never the secret."""
    now_ns = services.gate.now_ns()
    return json_response({"items": [_shown(one, now_ns) for one in services.gate.tokens.all()], "next": None})


@router.post(
    "/api/tokens",
    operation_id="create_token",
    summary="Make an API token",
    status_code=201,
    openapi_extra=_ADMIN,
    responses=answers(
        {201: {"model": TokenCreated, "description": "The token, which is shown this once."}},
        Kind.INVALID_NAME,
        Kind.INVALID_VALUES,
        Kind.UNAVAILABLE,
    ),
)
async def make_token(services: Using, caller: Calling, wanted: NewToken) -> Response:
    """Make a token. What is kept of it is a hash, so that nobody can show it again."""
    now_ns = services.gate.now_ns()
    expires_ns = moment("expires", wanted.expires) or 0
    if expires_ns and expires_ns <= now_ns:
        detail = "is not in the future"
        faults = [Fault(pointer="#/expires", detail=detail)]
        raise ProblemError(Kind.INVALID_VALUES, f"expires {detail}", faults=faults)
    try:
        grants = Grants.of(wanted.types, wanted.twins)
    except InvalidNameError as error:
        raise ProblemError(Kind.INVALID_NAME, str(error)) from None
    token_id, secret, kept = new_secret()
    token = Token(
        id=token_id,
        name=wanted.name,
        hash=kept,
        scopes=tuple(sorted(set(wanted.scopes))),
        types=tuple(sorted(grants.types)),
        twins=tuple(sorted(grants.twins)),
        created_ns=now_ns,
        created_by=caller.name,
        expires_ns=expires_ns,
    )
    await _put(services, token)
    return json_response(_shown(token, now_ns) | {"token": secret}, 201)


@router.delete(
    "/api/tokens/{token}",
    operation_id="revoke_token",
    summary="Revoke an API token",
    openapi_extra=_ADMIN,
    responses=answers({200: TokenItem}, Kind.UNKNOWN_TOKEN, Kind.UNAVAILABLE),
)
async def revoke_token(
    services: Using,
    caller: Calling,
    token_id: Annotated[str, Path(alias="token", description="Id of the token.", examples=["0f3c5a1b2c3d4e5f"])],
) -> Response:
    """Revoke a token: from the answer on it is good for nothing here, and what it opened is closed.

    Another API that serves the same Kafka knows it as soon as it has read it from there, within a second.
    """
    token = services.gate.tokens.get(token_id)
    if token is None:
        raise ProblemError(Kind.UNKNOWN_TOKEN, f"there is no token {ascii(token_id)[1:-1][:80]}")
    now_ns = services.gate.now_ns()
    if not token.revoked_ns:
        token = msgspec.structs.replace(token, revoked_ns=now_ns, revoked_by=caller.name)
        await _put(services, token)
    return json_response(_shown(token, now_ns))


async def _put(services: Services, token: Token) -> None:
    try:
        await services.token_log.put(token)
    except LogUnavailableError as error:
        detail = f"the log did not confirm it ({error}); it may or may not take effect"
        raise ProblemError(Kind.UNAVAILABLE, detail, headers={"retry-after": "5"}) from None


def _shown(token: Token, now_ns: int) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": token.scopes,
        "types": token.types,
        "twins": token.twins,
        "created_ns": token.created_ns,
        "created_by": token.created_by,
        "expires_ns": token.expires_ns or None,
        "revoked_ns": token.revoked_ns or None,
        "good": not token.fault(now_ns),
    }
