"""What can still be checked of a `twin.yaml` with faults: the same with every faulty declaration made harmless."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

from schemas.choices import meant
from schemas.definition import Definition
from schemas.names import check_field
from schemas.step import StepOutput

_SCALARS = {"name": "unnamed", "version": "0.0.0", "missing": "hold_last"}
"""What stands in for these; any other scalar has a default, as has `missing`, yet one without defaults of inputs."""
_COLLECTIONS = ("inputs", "parameters", "pipeline", "requests")
_KINDS = ("float", "int", "bool")
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
        kept = {} if top == "requests" else _kept(section.get(name), with_unit=place[2:] != ("unit",))
        default = {"bool": False, "int": 0}.get(kept.get("type", ""), 0.0)
        section[name] = _STAND_INS[top] | kept | ({"default": default} if top == "parameters" else {})
    return True


def _kept(declared: Any, *, with_unit: bool = True) -> dict[str, Any]:  # noqa: ANN401
    """Type and unit that a faulty declaration gives: whoever takes the value relies on them."""
    if not isinstance(declared, dict):
        return {"type": "bool"}
    said, unit = declared.get("type", "float"), declared.get("unit") if with_unit else None
    # A boolean is what every place takes, so that it makes no faults of its own.
    kind = said if said in _KINDS else meant(str(said), _KINDS) or "bool"
    if not isinstance(unit, str):
        return {"type": kind}
    return {"type": "float" if kind == "bool" else kind, "unit": unit}


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
    said = step["outputs"]
    given = said if isinstance(said, dict) else dict.fromkeys(filter(_is_field, said))
    outputs = {name: _output(declared or {}) for name, declared in given.items() if _is_field(name)}
    return {"name": f"unreadable_{index}", "step": "unreadable", "outputs": outputs}


def _output(declared: Any) -> dict[str, Any]:  # noqa: ANN401
    """An output as it is declared, or what is left of it."""
    try:
        StepOutput.model_validate(declared)
    except pydantic.ValidationError:
        return _kept(declared)
    return {key: declared[key] for key in ("type", "unit") if key in declared}


def _is_field(name: Any) -> bool:  # noqa: ANN401
    try:
        check_field(name)
    except (ValueError, TypeError):
        return False
    return True
