"""Errors on the wire: RFC 9457 problem documents."""

import json
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

Good = type[BaseModel] | Mapping[str, Any]


class Kind(Enum):
    """Kinds of problems: the last part of `type`, the status and the title."""

    INVALID_JSON = ("invalid-json", 400, "The body is no JSON")
    BAD_REQUEST = ("bad-request", 400, "Bad request")
    FOREIGN_HOST = ("foreign-host", 400, "The Host header names another server")
    UNAUTHENTICATED = ("unauthenticated", 401, "Show who you are")
    FORBIDDEN = ("forbidden", 403, "That is not permitted to this caller")
    FOREIGN_ORIGIN = ("foreign-origin", 403, "The request comes from another site")
    NOT_FOUND = ("not-found", 404, "No such resource")
    UNKNOWN_TYPE = ("unknown-type", 404, "No such twin type is deployed")
    UNKNOWN_TWIN = ("unknown-twin", 404, "No such twin")
    UNKNOWN_FIELD = ("unknown-field", 404, "No such time series")
    UNKNOWN_REQUEST = ("unknown-request", 404, "No such request is declared")
    UNKNOWN_TOKEN = ("unknown-token", 404, "No such token")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "Method not allowed")
    SLOW_BODY = ("slow-body", 408, "The body took too long")
    REFUSED = ("refused", 409, "The worker refused the change")
    IN_DOUBT = ("in-doubt", 409, "It may have been done before")
    PRECONDITION_FAILED = ("precondition-failed", 412, "The twin is not as it was to be")
    TOO_LARGE = ("too-large", 413, "The body is too large")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported-media-type", 415, "The body must be application/json")
    INVALID_NAME = ("invalid-name", 422, "A name is outside the grammar")
    INVALID_VALUES = ("invalid-values", 422, "Some values are not permitted")
    KEY_TAKEN = ("key-taken", 422, "The Idempotency-Key stands for another request")
    TOO_MANY_REQUESTS = ("too-many-requests", 429, "Too many requests")
    INTERNAL = ("internal", 500, "Something failed on our side")
    NOT_READY = ("not-ready", 503, "Something is still missing")
    UNAVAILABLE = ("unavailable", 503, "A part of the system is away")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title

    @property
    def uri(self) -> str:
        """Value of `type`."""
        return f"urn:twinstream:problem:{self.slug}"


_WITH_HEADERS = {
    Kind.UNAUTHENTICATED: ("WWW-Authenticate", "That a bearer token is expected, and what is the matter with the one."),
    Kind.TOO_MANY_REQUESTS: ("Retry-After", "Seconds."),
}


class Fault(BaseModel):
    """One of several things that are wrong."""

    pointer: str | None = Field(default=None, description="JSON Pointer into the body, such as `#/parameters/C_air`.")
    parameter: str | None = Field(default=None, description="Name of the query or path parameter.")
    detail: str = Field(description="What is wrong, for people.")


class MissingPart(BaseModel):
    """Something that is not up yet."""

    name: str = Field(description="The part, such as `kafka` or `bridge:mqtt`.")
    detail: str = Field(description="What is the matter with it.")


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(description="`urn:twinstream:problem:` and the kind.", examples=[Kind.UNKNOWN_TWIN.uri])
    title: str = Field(description="The kind in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened this time.")
    instance: str = Field(description="Path of the request.")
    errors: list[Fault] | None = Field(default=None, description="Every single fault, when there may be several.")
    missing: list[MissingPart] | None = Field(default=None, description="Only `not-ready`: what is not up yet.")


class ProblemError(Exception):
    """Ends a request with a problem document.

    Attributes:
        faults: Every single fault, when there may be several.
        status: Replaces the usual status of `kind`.
        in_doubt: Whether it may have taken effect all the same.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        faults: list[Fault] | None = None,
        missing: list[MissingPart] | None = None,
        status: int = 0,
        headers: dict[str, str] | None = None,
        in_doubt: bool = False,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.faults = faults
        self.missing = missing
        self.status = status or kind.status
        self.headers = headers
        self.in_doubt = in_doubt


def problem_response(error: ProblemError, instance: str) -> Response:
    """The document of `error`; ASCII only, so that no text of a caller can spoil its encoding."""
    document: dict[str, Any] = {
        "type": error.kind.uri,
        "title": error.kind.title,
        "status": error.status,
        "detail": error.detail,
        "instance": instance,
    }
    if error.faults is not None:
        document["errors"] = [fault.model_dump(exclude_none=True) for fault in error.faults]
    if error.missing is not None:
        document["missing"] = [part.model_dump() for part in error.missing]
    body = json.dumps(document, ensure_ascii=True).encode()
    return Response(body, error.status, headers=error.headers, media_type=MEDIA_TYPE)


def answers(good: Mapping[int, Good], *kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of an endpoint's answers.

    Args:
        good: Status to the model of the body, or to a whole description.
        kinds: Problems that may come, besides those that may come of everything (`infra.http.description`).
    """
    found: dict[int | str, dict[str, Any]] = {
        status: dict(answer) if isinstance(answer, Mapping) else {"model": answer} for status, answer in good.items()
    }
    for kind in kinds:
        described_problem(found, kind, key=kind.status)
    return found


def described_problem(answers: dict[Any, dict[str, Any]], kind: Kind, *, key: int | str = "") -> None:
    """Add a kind of problem to the descriptions of an endpoint's answers, with an example."""
    answer = answers.setdefault(key or str(kind.status), {"description": "", "content": {}})
    content = answer.setdefault("content", {}).setdefault(
        MEDIA_TYPE, {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
    )
    if kind.slug in content["examples"]:
        return
    before = answer.get("description")
    answer["description"] = f"{before}; or: {kind.title}" if before else kind.title
    example = {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status,
        "detail": "What happened this time.",
        "instance": "/api/…",
    }
    content["examples"][kind.slug] = {"value": example}
    if kind in _WITH_HEADERS:
        name, text = _WITH_HEADERS[kind]
        answer.setdefault("headers", {})[name] = {"description": text, "schema": {"type": "string"}}


def kind_of_status(status: int) -> Kind:
    """The kind for an error that the framework raised with a bare status."""
    plain = {404: Kind.NOT_FOUND, 405: Kind.METHOD_NOT_ALLOWED, 413: Kind.TOO_LARGE, 415: Kind.UNSUPPORTED_MEDIA_TYPE}
    if status in plain:
        return plain[status]
    return Kind.BAD_REQUEST if status < HTTPStatus.INTERNAL_SERVER_ERROR else Kind.INTERNAL
