"""Dead letters: records that could not be used, and sending them once more."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from infra.access.grants import Scope
from infra.http.access import needs
from infra.http.letters import Entry, Place, Selection
from infra.http.models import (
    DeadLetterList,
    DeadLetterNumber,
    LetterSelection,
    LettersToRedrive,
    PurgedLetters,
    RedrivenLetters,
)
from infra.http.moments import moment
from infra.http.problems import Fault, Kind, ProblemError, answers
from infra.http.responses import json_response
from infra.http.services import LogUnavailableError, Services, Using
from schemas.reasons import Reason

PAGE_LIMIT = 1000

router = APIRouter(tags=["dead letters"])

OfType = Annotated[str, Query(alias="type", description="Only of this type.")]
OfReason = Annotated[Reason | None, Query(description="Only with this reason.")]
OfId = Annotated[str, Query(alias="id", description="Only this one: an id, or the beginning of one.")]
Since = Annotated[
    str | None, Query(description="Earliest arrival: nanoseconds since the Unix epoch, or RFC 3339; inclusive.")
]
Until = Annotated[str | None, Query(description="Latest arrival, likewise.")]


@router.get(
    "/api/deadletters",
    operation_id="list_dead_letters",
    summary="List dead letters",
    responses=answers({200: DeadLetterList}, Kind.INVALID_VALUES),
)
async def deadletters(
    services: Using,
    *,
    type_name: OfType = "",
    reason: OfReason = None,
    letter: OfId = "",
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most items of a page.")] = 100,
    after: Annotated[str, Query(description="`next` of the page before.")] = "",
) -> Response:
    """Newest first, each with what became of it; also while Kafka is away.

    For a caller who is limited to some twins a page may hold fewer than `limit`, or none, and have a `next`.
    """
    selection = _selection(type_name, reason, (letter,) if letter else (), since, until)
    found = await asyncio.to_thread(services.dead_letters.newest, selection, after=_place(after), limit=limit + 1)
    cursor = str(found[limit - 1].place) if len(found) > limit else None
    items = [entry for entry in found[:limit] if _sees(services, entry)]
    return json_response({"items": [msgspec.Raw(entry.shown()) for entry in items], "next": cursor})


@router.get(
    "/api/deadletters/number",
    operation_id="count_dead_letters",
    summary="Count dead letters",
    responses=answers({200: DeadLetterNumber}, Kind.INVALID_VALUES),
)
async def number(
    services: Using,
    *,
    type_name: OfType = "",
    reason: OfReason = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """How many there are now; also while Kafka is away. For a caller who is limited those of granted types."""
    selection = _selection(type_name, reason, (), since, until)
    grants = services.grants
    names = [type_name] if grants.unlimited else sorted(grants.types & {type_name} if type_name else grants.types)
    selections = [replace(selection, type=name) for name in names]
    numbers = [await asyncio.to_thread(services.dead_letters.number, one) for one in selections]
    return json_response({"number": sum(numbers)})


@router.post(
    "/api/deadletters/redrive",
    operation_id="redrive_dead_letters",
    summary="Send dead letters once more",
    openapi_extra=needs(Scope.DEPLOY),
    responses=answers(
        {200: RedrivenLetters},
        Kind.INVALID_VALUES,
        Kind.UNAVAILABLE,
    ),
)
async def redrive(services: Using, wanted: LettersToRedrive) -> Response:
    """Send letters that were not sent again yet to the inputs of their types, oldest first: each once, whoever asks.

    What a worker makes of them is in `redriven.outcome` of each letter. Go on with `after` until `next` is null.
    """
    _whole_type(services, wanted)
    with _log():
        done = await services.letter_sender.redrive(
            _selected(wanted), refused_again=wanted.refused_again, after=_place(wanted.after), limit=wanted.limit
        )
    sent = [
        {"id": letter.id, "type": letter.type, "twin": letter.twin, "partition": at.partition, "offset": at.offset}
        for letter, at in done.sent
    ]
    unable = [{"id": letter.id, "type": letter.type, "twin": letter.twin, "why": why} for letter, why in done.unable]
    answer = {"items": sent, "unable": unable, "refused_again": done.refused_again, "next": done.next}
    return json_response(answer)


@router.post(
    "/api/deadletters/purge",
    operation_id="purge_dead_letters",
    summary="Remove dead letters",
    openapi_extra=needs(Scope.ADMIN),
    responses=answers(
        {200: PurgedLetters},
        Kind.INVALID_VALUES,
        Kind.UNAVAILABLE,
    ),
)
async def purge(services: Using, wanted: LetterSelection) -> Response:
    """Remove the newest `limit` of these letters: no reader shows them, none is sent again; go on until none came.

    `twinstream_deadletters_total` still counts them, and their bytes stay in the topic as long as Kafka keeps those.
    """
    _whole_type(services, wanted)
    with _log():
        purged = await services.letter_sender.purge(_selected(wanted), limit=wanted.limit)
    return json_response({"items": purged})


def _sees(services: Services, entry: Entry) -> bool:
    if services.grants.unlimited:
        return True
    letter = entry.letter()
    return services.grants.sees(letter.type, letter.twin)


def _whole_type(services: Services, wanted: LetterSelection) -> None:
    """Letters are sent and removed by type: refuse callers who are limited to other ones, or to some twins.

    Raises:
        ProblemError: naming what is granted.
    """
    if not services.grants.unlimited and wanted.type not in services.grants.types:
        granted = ", ".join(sorted(services.grants.types)) or "none"
        raise ProblemError(Kind.FORBIDDEN, f"`type` must be one that is granted as a whole: {granted}")


def _selected(wanted: LetterSelection) -> Selection:
    return _selection(wanted.type, wanted.reason, tuple(wanted.ids), wanted.since, wanted.until)


def _selection(
    type_name: str, reason: Reason | None, ids: tuple[str, ...], since: str | None, until: str | None
) -> Selection:
    return Selection(
        type=type_name,
        reason=reason or "",
        ids=ids,
        since_ns=moment("since", since),
        until_ns=moment("until", until),
    )


def _place(after: str) -> Place | None:
    try:
        return Place.parse(after) if after else None
    except ValueError:
        detail = "expected `next` of the page before"
        faults = [Fault(parameter="after", detail=detail)]
        raise ProblemError(Kind.INVALID_VALUES, f"after: {detail}", faults=faults) from None


@contextmanager
def _log() -> Iterator[None]:
    try:
        yield
    except LogUnavailableError as error:
        detail = f"the log did not confirm it ({error}): ask again, nothing is done twice"
        raise ProblemError(Kind.UNAVAILABLE, detail, headers={"retry-after": "5"}) from None
