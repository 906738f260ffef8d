"""Answers as JSON."""

from typing import Any

import msgspec
from starlette.responses import Response

from infra.http.conditions import etag
from twins.layout import TwinState


def json_response(body: Any, status: int = 200) -> Response:  # noqa: ANN401
    """Encode `body`; not-a-number becomes null."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def twin_body(type_name: str, twin: str, state: TwinState) -> dict[str, Any]:
    """A twin as the public contract shows it."""
    return {
        "type": type_name,
        "id": twin,
        "version": state.version,
        "revision": state.revision,
        "event_time_ns": state.event_time_ns,
        "inputs": state.inputs,
        "state": state.state,
        "outputs": state.outputs,
        "parameters": state.parameters,
        "tags": state.tags,
        "status": state.status,
    }


def twin_response(type_name: str, twin: str, state: TwinState) -> Response:
    """A twin, with the ETag that a conditional change names."""
    response = json_response(twin_body(type_name, twin, state))
    response.headers["etag"] = etag(state)
    return response
