"""What can still be checked of a `twin.yaml` with faults: the same with every faulty declaration made harmless."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

from schemas.choices import meant
from schemas.definition import Definition
from schemas.names import check_field

_SCALARS = {"name": "unnamed", "version": "0.0.0"}
"""What stands in for these; any other scalar has a default."""
_COLLECTIONS = ("inputs", "parameters", "pipeline", "requests")
# A boolean is what every place takes, so that a stand-in makes no faults of its own.
_STAND_INS: dict[str, dict[str, Any]] = {
    "inputs": {"type": "bool"},
    "parameters": {"type": "bool", "default": False},
    "requests": {},
}


def salvage(raw: Mapping[str, Any], places: Iterable[tuple[int | str, ...]]) -> tuple[Definition | None, set[str]]:
    """A definition with stand-ins for what is at fault: names stay known, and steps keep their places.

    Args:
        raw: What the file holds.
        places: Where pydantic found faults.

    Returns:
        The definition, None when too little is left, and the key paths of what was replaced in it.
    """
    mended = copy.deepcopy(dict(raw))
    replaced = set()
    for place in places:
        if not _mend(mended, place):
            return None, set()
        replaced.add(".".join(map(str, place[:2])))
    try:
        return Definition.model_validate(mended), replaced
    except pydantic.ValidationError:
        return None, set()


def _mend(raw: dict[str, Any], place: tuple[int | str, ...]) -> bool:
    """Make one faulty place harmless; False when that would leave nothing to check by."""
    top = str(place[0]) if place else ""
    if top in _SCALARS:
        raw[top] = _SCALARS[top]
        return True
    if top not in _COLLECTIONS:
        if top == "outputs":
            return _mend_outputs(raw, place)
        value = raw.pop(top, None)
        near = meant(top, Definition.model_fields)
        if near and top not in Definition.model_fields and near not in raw:
            # A misspelt section still gives its names.
            raw[near] = value
        return bool(top)
    section = raw.get(top)
    if len(place) == 1 or not isinstance(section, list | dict):
        return False
    name: Any = place[1]
    if isinstance(section, list):
        if not _has_outputs(section[name]):
            return False
        section[name] = _step(section[name], name)
    elif place[-1] == "[key]":
        section.pop(name, None)
    else:
        declared = section.get(name)
        unit = declared.get("unit") if isinstance(declared, dict) and place[2:] != ("unit",) else None
        # What has a unit is a number, and whoever takes it relies on that unit.
        with_unit = {"type": "float", "unit": unit} if isinstance(unit, str) and top != "requests" else {}
        section[name] = _STAND_INS[top] | with_unit | ({"default": 0.0} if with_unit and top == "parameters" else {})
    return True


def _mend_outputs(raw: dict[str, Any], place: tuple[int | str, ...]) -> bool:
    outputs = raw["outputs"]
    section = outputs.get(place[1]) if len(place) > 1 and isinstance(outputs, dict) else None
    if isinstance(section, dict) and place[1] in {"events", "commands"} and len(place) > 2:  # noqa: PLR2004
        section.pop(place[2], None)
    elif section is not None:
        outputs.pop(place[1])
    elif isinstance(outputs, dict) and len(place) > 1:
        outputs.pop(place[1], None)
    else:
        raw.pop("outputs")
    return True


def _has_outputs(step: Any) -> bool:  # noqa: ANN401
    return isinstance(step, dict) and isinstance(step.get("outputs"), list | dict)


def _step(step: dict[str, Any], index: int) -> dict[str, Any]:
    """A step that does nothing but give the outputs of a faulty one."""
    outputs = {name: {"type": "bool"} for name in step["outputs"] if _is_field(name)}
    return {"name": f"unreadable_{index}", "step": "unreadable", "outputs": outputs}


def _is_field(name: Any) -> bool:  # noqa: ANN401
    try:
        check_field(name)
    except (ValueError, TypeError):
        return False
    return True
