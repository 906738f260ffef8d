"""Whether this process lives, whether the system is up, and its metrics."""

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from infra.access.grants import Scope
from infra.http.access import needs
from infra.http.models import Health, Ready
from infra.http.problems import Kind, MissingPart, ProblemError, answers
from infra.http.responses import json_response
from infra.http.services import Using

if TYPE_CHECKING:
    from infra.http.metrics import Metrics

router = APIRouter(tags=["health"])
_TEXT = {"description": "Prometheus text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get(
    "/healthz",
    operation_id="get_health",
    summary="Is this process alive?",
    responses=answers(
        {200: Health},
    ),
)
async def healthz() -> Response:
    """Answers as long as the process can answer at all."""
    return json_response({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="get_readiness",
    summary="Is everything up?",
    responses=answers({200: Ready}, Kind.NOT_READY),
)
async def readyz(services: Using) -> Response:
    """200 once the log is reachable, everything in it was read, and every role is up; else what is missing."""
    missing = dict(await services.probe())
    if loading := services.loading():
        missing.setdefault("api", f"{loading} are still being read")
    if missing:
        parts = [MissingPart(name=name, detail=missing[name]) for name in sorted(missing)]
        shown = "; ".join(f"{part.name}: {part.detail}" for part in parts)
        raise ProblemError(Kind.NOT_READY, shown, missing=parts, headers={"retry-after": "1"})
    return json_response({"status": "ready"})


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Show metrics",
    openapi_extra=needs(Scope.READ, whole=True),
    response_class=Response,
    responses=answers(
        {200: _TEXT},
    ),
)
async def metrics(services: Using, request: Request) -> Response:
    """Metrics for Prometheus, among them `twinstream_deadletters_total` by type and reason.

    Of the workers of the same data directory it shows what became of records: `twinstream_records_total` by type and
    outcome, and `twinstream_extra_fields_total`.
    """
    collected: Metrics = request.app.state.metrics
    of_workers = await asyncio.to_thread(services.worker_figures)
    return Response(collected.text() + of_workers, media_type=collected.media_type)
