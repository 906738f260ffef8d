"""Faults between a route and the fields and parameters that it names."""

from typing import TYPE_CHECKING

from schemas.choices import EVERYTHING, FIELDS, some_of
from schemas.definition import Definition
from schemas.errors import InvalidNameError
from schemas.names import check_twin_id
from schemas.quantity import Parameter
from schemas.route import Route

if TYPE_CHECKING:
    from schemas.quantity import Quantity
    from schemas.step import StepOutput


def route_faults(definition: Definition) -> list[tuple[str, str, str]]:
    """Key path, message and remedy of each fault of the routes."""
    return [
        fault
        for path, route in definition.outputs.routes().items()
        for fault in _route_faults(definition, f"outputs.{path}.route", route)
    ]


def _route_faults(definition: Definition, path: str, route: Route) -> list[tuple[str, str, str]]:
    fields = {*definition.inputs, *definition.fields()}
    faults = [
        (f"{path}.as.{name}", f"no field {field}", f"fields are: {some_of(fields, field, FIELDS)}")
        for name, field in route.inputs.items()
        if field not in fields
    ]
    declared: dict[str, Quantity | StepOutput]
    declared = {**definition.inputs, **definition.fields(), **definition.parameters}
    if route.id not in declared:
        remedy = f"parameters and fields are: {some_of(declared, route.id, EVERYTHING)}"
        return [*faults, (f"{path}.id", f"no parameter or field {route.id}", remedy)]
    found = declared[route.id]
    if found.type not in {"string", "int"}:
        remedy = "name a parameter of type string, or an int"
        faults.append((f"{path}.id", f"{route.id} is {found.type}, which names no twin", remedy))
    if isinstance(found, Parameter) and found.type == "string":
        for text in (*found.choices, str(found.default)):
            try:
                check_twin_id(text or "none")
            except InvalidNameError as error:
                faults.append((f"{path}.id", f"{route.id} names no twin: {error}", "mend the parameter"))
    return list(dict.fromkeys(faults))
