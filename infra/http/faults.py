"""What the framework finds wrong with a request, in our words."""

from collections.abc import Iterable
from typing import Any

from infra.http.problems import Fault, Kind, ProblemError
from infra.http.validation import at

_WORDS = {
    "dict_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "missing": "is required",
    "int_parsing": "must be an integer",
    "int_parsing_size": "must be an integer of at most 64 bits",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "enum": "must be one of {expected}",
}


def problem_of(found: Iterable[dict[str, Any]]) -> ProblemError:
    """The problem that tells everything in a `RequestValidationError`."""
    faults = [_fault(item) for item in found]
    if any(item["type"] == "json_invalid" for item in found):
        return ProblemError(Kind.INVALID_JSON, "the body is no JSON")
    shown = "; ".join(f"{fault.pointer or fault.parameter}: {fault.detail}" for fault in faults[:3])
    return ProblemError(Kind.INVALID_VALUES, shown, faults=faults)


def _fault(item: dict[str, Any]) -> Fault:
    place, *path = map(str, item["loc"])
    words = _WORDS.get(item["type"])
    detail = words.format_map(item.get("ctx") or {}) if words else item["msg"]
    if place != "body":
        return Fault(parameter=".".join(path), detail=detail)
    if item["type"] == "missing" and not path:
        detail = "a JSON object is required"
    return at(*path, detail=detail)
