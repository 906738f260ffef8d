"""Deployed twin types."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from infra.http import lookup, validation
from infra.http.models import DeploymentList, TypeDetail, TypeList
from infra.http.problems import Kind, answers
from infra.http.responses import json_response
from infra.http.rows import Deployed
from infra.http.services import Services, Using

router = APIRouter(tags=["types"])


@router.get(
    "/api/types",
    operation_id="list_types",
    summary="List the deployed types",
    responses=answers(
        {200: TypeList},
    ),
    name="types",
)
async def types(services: Using) -> Response:
    """Deployed types by name, each with how many twins it has."""
    found = services.catalogue.types()
    return json_response({"items": [_summary(services, name, found[name]) for name in sorted(found)], "next": None})


@router.get(
    "/api/types/{type}",
    operation_id="get_type",
    summary="Show one type",
    responses=answers({200: TypeDetail}, Kind.UNKNOWN_TYPE, Kind.INVALID_NAME, Kind.UNAVAILABLE),
)
async def type_detail(services: Using, type_name: Annotated[str, Path(alias="type")]) -> Response:
    """A type with its whole definition: inputs, parameters, pipeline, outputs and requests with units and ranges."""
    found = lookup.deployed(services, type_name)
    definition = found.definition.model_dump(mode="json", by_alias=True)
    return json_response(_summary(services, type_name, found) | {"definition": definition})


@router.get(
    "/api/deployments",
    operation_id="list_deployments",
    summary="List what was ever in force",
    responses=answers({200: DeploymentList}, Kind.INVALID_NAME),
    name="deployments",
)
async def deployments(
    services: Using, type_name: Annotated[str | None, Query(alias="type", description="Only of this type.")] = None
) -> Response:
    """Every switch to a version, oldest first: when, who, which, and from which offsets of the type's input.

    Beside them stands what was taken out of force.
    """
    if type_name is not None:
        validation.type_name(type_name)
    items = [msgspec.to_builtins(item, str_keys=True) for item in services.catalogue.history(type_name)]
    for item in items:
        del item["chunks"]
    undeployed = [
        {"type": item.type, "version": item.version, "hash": item.hash, "time_ns": item.time_ns, "who": item.who}
        for item in services.catalogue.undeployed(type_name)
    ]
    return json_response({"items": items, "next": None, "undeployed": undeployed})


def _summary(services: Services, type_name: str, found: Deployed) -> dict[str, Any]:
    definition = found.definition
    return {
        "type": type_name,
        "project": definition.project,
        "name": definition.name,
        "version": definition.version,
        "description": definition.description,
        "hash": found.deployment.hash,
        "deployed_ns": found.deployment.time_ns,
        "twins": services.states.count(type_name),
    }
