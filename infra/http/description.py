"""The OpenAPI document: what endpoints say of themselves, and what holds for all of them."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from infra.http.problems import MEDIA_TYPE, Kind, Problem, described_problem

_ALWAYS = (
    Kind.FOREIGN_HOST,
    Kind.BAD_REQUEST,
    Kind.UNAUTHENTICATED,
    Kind.FORBIDDEN,
    Kind.FOREIGN_ORIGIN,
    Kind.INVALID_VALUES,
    Kind.TOO_MANY_REQUESTS,
    Kind.INTERNAL,
    Kind.UNAVAILABLE,
)
"""Whatever is asked for."""
_OF_BODIES = (Kind.INVALID_JSON, Kind.SLOW_BODY, Kind.TOO_LARGE, Kind.UNSUPPORTED_MEDIA_TYPE)
_METHODS = frozenset({"get", "put", "post", "delete", "patch"})
_WITH_BODY = frozenset({"put", "post", "patch"})
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API token, or one of the OpenID provider; on loopback needed only where `auth` says so.",
}


def described(app: FastAPI) -> dict[str, Any]:
    """The document; every operation lists all that it can answer, and what a caller needs."""
    schema = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
        servers=app.servers,
    )
    components = schema.setdefault("components", {})
    models = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    models |= problem.pop("$defs", {})
    models["Problem"] = problem
    for name in ("HTTPValidationError", "ValidationError"):
        models.pop(name, None)
    components["securitySchemes"] = {"bearer": _BEARER}
    for path in schema["paths"].values():
        for method, operation in path.items():
            if method in _METHODS:
                _complete(method, operation)
    return schema


def _complete(method: str, operation: dict[str, Any]) -> None:
    usual = "read" if method == "get" else "admin"
    operation.setdefault("security", [{"bearer": [usual]}])
    answers = operation["responses"]
    # What the framework would have answered on its own, which we never do.
    default = answers.get("422", {}).get("content", {})
    if default and MEDIA_TYPE not in default:
        del answers["422"]
    for kind in _ALWAYS + (_OF_BODIES if method in _WITH_BODY else ()):
        described_problem(answers, kind)
    operation["responses"] = dict(sorted(answers.items()))
