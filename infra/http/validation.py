"""Checks of values against what a twin type declares: every fault at once."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from infra.http.problems import Fault, Kind, ProblemError
from schemas.definition import Definition, Request
from schemas.errors import InvalidNameError
from schemas.names import check_field, check_twin_id, parse_type
from schemas.quantity import Quantity

TAGS_LIMIT = 32
TAG_VALUE_LIMIT = 256
_RESERVED_TAGS = frozenset({"twin"})
_NO_OBJECT = "must be a JSON object"
_INT64 = range(-(2**63), 2**63)


def type_name(text: str) -> str:
    """A qualified type name.

    Raises:
        ProblemError: it is outside the grammar.
    """
    return _named(parse_type, text, "type")


def twin_id(text: str) -> str:
    """A twin id.

    Raises:
        ProblemError: it is outside the grammar.
    """
    return _named(check_twin_id, text, "id")


def _named(check: Any, text: str, parameter: str) -> str:  # noqa: ANN401
    try:
        check(text)
    except InvalidNameError as error:
        raise ProblemError(Kind.INVALID_NAME, str(error), faults=[_in_query(parameter, str(error))]) from None
    return text


def _in_query(parameter: str, detail: str) -> Fault:
    return Fault(parameter=parameter, detail=detail)


def at(*path: str, detail: str) -> Fault:
    """A fault at a place of the body."""
    escaped = (part.replace("~", "~0").replace("/", "~1") for part in path)
    return Fault(pointer="/".join(("#", *escaped)), detail=detail)


def change_faults(definition: Definition, parameters: object, tags: object, others: Iterable[str]) -> list[Fault]:
    """What is wrong with a change of a twin.

    Args:
        definition: Of its type.
        parameters: As they came.
        tags: As they came.
        others: Further keys of the body.
    """
    faults = [at(name, detail="no such key; there are: parameters, tags") for name in others]
    return faults + parameter_faults(definition, parameters) + tag_faults(tags)


def parameter_faults(definition: Definition, parameters: object) -> list[Fault]:
    """What is wrong with new parameter values."""
    if not isinstance(parameters, dict):
        return [at("parameters", detail=_NO_OBJECT)]
    faults = []
    for name, value in parameters.items():
        if name not in definition.parameters:
            known = ", ".join(definition.parameters) or "none"
            faults.append(at("parameters", name, detail=f"no such parameter; there are: {known}"))
        elif refusal := definition.parameter_refusal(name, value) or _unrepresentable(value):
            faults.append(at("parameters", name, detail=refusal))
    return faults


def tag_faults(tags: object) -> list[Fault]:
    """What is wrong with tags: names of fields to short printable texts."""
    if not isinstance(tags, dict):
        return [at("tags", detail=_NO_OBJECT)]
    faults = []
    if len(tags) > TAGS_LIMIT:
        faults.append(at("tags", detail=f"{len(tags)} tags, at most {TAGS_LIMIT} are permitted"))
    for name, value in tags.items():
        try:
            check_field(name, "tag")
        except InvalidNameError as error:
            faults.append(at("tags", name, detail=str(error)))
        if name in _RESERVED_TAGS:
            faults.append(at("tags", name, detail=f"{name} is reserved"))
        if not isinstance(value, str) or not 0 < len(value) <= TAG_VALUE_LIMIT or not value.isprintable():
            faults.append(at("tags", name, detail=f"must be a text of 1 to {TAG_VALUE_LIMIT} printable characters"))
    return faults


def argument_faults(request: Request, arguments: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with a request's arguments, apart from values out of range.

    Whether a value is within its range the worker decides, because the outcome of a request is an event.
    """
    faults = []
    for name, value in arguments.items():
        declared = request.arguments.get(name)
        if declared is None:
            known = ", ".join(request.arguments) or "none"
            faults.append(at(name, detail=f"no such argument; there are: {known}"))
        elif refusal := _type_refusal(declared, value) or _unrepresentable(value):
            faults.append(at(name, detail=refusal))
    for name, declared in request.arguments.items():
        if declared.required and name not in arguments:
            faults.append(at(name, detail=f"{name} ({declared.type}) is required"))
    return faults


def _type_refusal(declared: Quantity, value: object) -> str:
    if declared.type == "string":
        return "" if isinstance(value, str) else declared.refusal(value)
    unbounded = declared.model_copy(update={"range": None, "above": None, "below": None})
    return unbounded.refusal(value)


def _unrepresentable(value: object) -> str:
    """Why JSON or a 64-bit number can't carry `value`."""
    if isinstance(value, int) and not isinstance(value, bool) and value not in _INT64:
        return "the number does not fit 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not finite"
    return ""


def refuse_if(faults: list[Fault]) -> None:
    """End the request when there are faults.

    Raises:
        ProblemError: listing all of them.
    """
    if faults:
        shown = "; ".join(f"{fault.pointer or fault.parameter}: {fault.detail}" for fault in faults[:3])
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""  # noqa: PLR2004
        raise ProblemError(Kind.INVALID_VALUES, shown + more, faults=faults)
