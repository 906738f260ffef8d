"""Dead letters: records that could not be used, and sending them once more."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from infra.http.letters import Place, Selection
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
from infra.http.services import LogUnavailableError, Using
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
    """Newest first, each with what became of it; also while Kafka is away."""
    selection = _selection(type_name, reason, (letter,) if letter else (), since, until)
    found = await asyncio.to_thread(services.dead_letters.newest, selection, after=_place(after), limit=limit + 1)
    cursor = str(found[limit - 1].place) if len(found) > limit else None
    return json_response({"items": [msgspec.Raw(entry.shown()) for entry in found[:limit]], "next": cursor})


@router.get(
    "/api/deadletters/number",
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
    """How many there are now; also while Kafka is away."""
    selection = _selection(type_name, reason, (), since, until)
    return json_response({"number": await asyncio.to_thread(services.dead_letters.number, selection)})


@router.post(
    "/api/deadletters/redrive",
    summary="Send dead letters once more",
    responses=answers(
        {200: RedrivenLetters},
        Kind.INVALID_JSON,
        Kind.TOO_LARGE,
        Kind.UNSUPPORTED_MEDIA_TYPE,
        Kind.INVALID_VALUES,
        Kind.UNAVAILABLE,
    ),
)
async def redrive(services: Using, wanted: LettersToRedrive) -> Response:
    """Send letters that were not sent again yet to the inputs of their types, oldest first: each once, whoever asks.

    What a worker makes of them is in `redriven.outcome` of each letter. Go on with `after` until `next` is null.
    """
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
    summary="Remove dead letters",
    responses=answers(
        {200: PurgedLetters},
        Kind.INVALID_JSON,
        Kind.TOO_LARGE,
        Kind.UNSUPPORTED_MEDIA_TYPE,
        Kind.INVALID_VALUES,
        Kind.UNAVAILABLE,
    ),
)
async def purge(services: Using, wanted: LetterSelection) -> Response:
    """Remove the newest `limit` of these letters: no reader shows them, none is sent again; go on until none came.

    `twinstream_deadletters_total` still counts them, and their bytes stay in the topic as long as Kafka keeps those.
    """
    with _log():
        purged = await services.letter_sender.purge(_selected(wanted), limit=wanted.limit)
    return json_response({"items": purged})


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
