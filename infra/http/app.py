"""The application: routes, middleware and how errors become problem documents."""

from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from infra import VERSION
from infra.access.origin import Origin
from infra.http.access import Access, permitted
from infra.http.description import described
from infra.http.faults import problem_of
from infra.http.guard import Guard
from infra.http.metrics import Measured, Metrics
from infra.http.problems import Kind, ProblemError, kind_of_status, problem_response
from infra.http.query import only_known
from infra.http.routes import (
    account,
    audit,
    deadletters,
    health,
    history,
    instance,
    requests,
    session,
    stream,
    tokens,
    twins,
    types,
)
from infra.http.services import Services
from infra.http.traces import Traced
from infra.metrics import new_registry
from schemas.trace import NO_TRACER, Tracer

_MODULES = (health, instance, types, twins, history, requests, deadletters, account, stream, session, tokens, audit)

_DESCRIPTION = """Live state, history and commands of digital twins, and requests to them.

Errors are problem documents (RFC 9457). Writes take `application/json` only; requests whose `Host` is not a
loopback name or the configured one, or whose `Origin` is another site, are refused. Where callers have to show who they
are, they send a token as `Authorization: Bearer …`.
"""


def create_app(services: Services, registry: CollectorRegistry | None = None, tracer: Tracer = NO_TRACER) -> FastAPI:
    """The application over `services`; it starts nothing and needs no lifespan.

    Args:
        services: What endpoints work with.
        registry: Where `/metrics` looks; None makes a new one.
        tracer: Is told of requests that belong to traces.
    """
    app = _routed(services.public)
    metrics = Metrics(services, registry or new_registry())
    app.state.services = services
    app.state.metrics = metrics
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_failure)
    # The last one is outermost: who is not let in makes no spans.
    app.add_middleware(Traced, tracer=tracer)
    app.add_middleware(Access, services=services)
    app.add_middleware(Guard, hosts=services.hosts, public=services.public)
    app.add_middleware(Measured, services=services, metrics=metrics)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def openapi_document(public: Origin | None = None) -> dict[str, Any]:
    """The OpenAPI document, without anything behind it.

    Args:
        public: Where a proxy makes the API reachable; None: nowhere.
    """
    return described(_routed(public))


def _routed(public: Origin | None) -> FastAPI:
    app = FastAPI(
        title="twinstream",
        version=VERSION,
        description=_DESCRIPTION,
        # The interactive pages of FastAPI load scripts from elsewhere into this origin.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": str(public)}] if public else None,
        dependencies=[Depends(permitted), Depends(only_known)],
    )
    for module in _MODULES:
        app.include_router(module.router)
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = described(app)
    return app.openapi_schema


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - registered for this class
    return problem_response(error, request.url.path)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    return problem_response(problem_of(list(error.errors())), request.url.path)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    kind = kind_of_status(error.status_code)
    details = {
        Kind.NOT_FOUND: "nothing is here; /openapi.json lists what there is",
        Kind.METHOD_NOT_ALLOWED: f"{request.method} is not possible here",
    }
    detail = details.get(kind, str(error.detail))
    headers = dict(error.headers) if error.headers else None
    if kind is Kind.METHOD_NOT_ALLOWED:
        headers = {"allow": ", ".join(_methods(request))}
    problem = ProblemError(kind, detail, status=error.status_code, headers=headers)
    return problem_response(problem, request.url.path)


def _methods(request: Request) -> list[str]:
    """Methods of the request's path; each endpoint has a route of its own, which knows its own methods only."""
    found: set[str] = set()
    for route in [route for module in _MODULES for route in module.router.routes]:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return sorted(found)


async def _on_failure(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the server logs it
    return problem_response(ProblemError(Kind.INTERNAL, "the log of the api role says more"), request.url.path)
