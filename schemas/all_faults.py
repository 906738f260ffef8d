"""Every fault that a validation has to tell: also those that it looks for only where it has found no other.

What a model says of several of its fields it says only when each of them is right. So what is at fault is set aside,
and the rest is looked at again, until nothing new is found.
"""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import pydantic
from pydantic.fields import FieldInfo

from schemas.fault_texts import fields_at, named_key

_MOST_LOOKS = 20
_STAND_INS: tuple[Any, ...] = ("x", "0.0.0", 1.0, 1, False, {}, [], {"x": "x"})

Place = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class AllFaults:
    """What is wrong with some values.

    Attributes:
        items: Pydantic's description of every fault.
        mended: The values without what is at fault, or with something harmless in its place; None where that is not
            possible.
        set_aside: Places of what is at fault.
    """

    items: list[Any]
    mended: Any
    set_aside: frozenset[Place]


def all_faults(
    error: pydantic.ValidationError,
    values: Mapping[str, Any],
    model: type[pydantic.BaseModel],
    validate: Callable[[Any], object],
) -> AllFaults:
    """Every fault of some values.

    Args:
        error: What the first look found.
        values: What was looked at; not changed.
        model: Of the values.
        validate: Looks at values; raises what `error` is.
    """
    items, found = list(error.errors(include_url=False)), error.errors(include_url=False)
    mended, aside = copy.deepcopy(values), set[Place]()
    for _ in range(_MOST_LOOKS):
        places = [_set_aside(mended, item, model, aside) for item in found]
        if None in places:
            break
        aside.update(place for place in places if place is not None)
        try:
            # What is told of them shows values, which are set aside only later.
            validate(copy.deepcopy(mended))
        except pydantic.ValidationError as again:
            found = again.errors(include_url=False)
            items += [item for item in found if not _is_follow_up(item, aside)]
        else:
            return AllFaults(items, mended, frozenset(aside))
    return AllFaults(items, None, frozenset(aside))


def _is_follow_up(item: Any, aside: set[Place]) -> bool:  # noqa: ANN401 - pydantic's own description of a fault
    """Whether a fault is due to what was set aside: it is there, or what is wrong has to do with it."""
    place: Place = item["loc"]
    if any(place[: len(other)] == other for other in aside):
        return True
    words = set(re.findall(r"\w+", item["msg"]))
    return any(other[:-1] == place and str(other[-1]) in words for other in aside)


def _set_aside(values: Any, item: Any, model: type[pydantic.BaseModel], aside: set[Place]) -> Place | None:  # noqa: ANN401
    """Take one fault out of the values; its place, None when that is not possible."""
    place = _there(values, item)
    while place in aside:
        # What stands in there does not fit either.
        place = place[:-1]
    key: Any
    while place:
        *above, key = place
        container = _at(values, above)
        if isinstance(container, dict):
            break
        # Without one item the others of a list would have other places.
        place = tuple(above)
    if not place:
        return None
    fields = [fields[key] for fields in fields_at(model, above) if key in fields]
    if fields and fields[0].is_required():
        stand_in = _stand_in(fields[0])
        if stand_in is None:
            return None
        container[key] = stand_in
    else:
        container.pop(key, None)
    return place


def _there(values: Any, item: Any) -> Place:  # noqa: ANN401
    """A fault's place as keys and indices of the values: pydantic also names the kind of what it tried."""
    place: list[int | str] = []
    loc: Sequence[int | str] = item["loc"]
    here = values
    for index, key in enumerate(loc):
        inside = (isinstance(here, dict) and key in here) or (isinstance(here, list) and key in range(len(here)))
        missing = index == len(loc) - 1 and item["type"] == "missing"
        if inside or missing:
            place.append(key)
            here = here[key] if inside else None
    if named := named_key(item):
        place.append(named)
    return tuple(place)


def _at(values: Any, place: Sequence[int | str]) -> Any:  # noqa: ANN401
    for key in place:
        values = values[key]
    return values


def _stand_in(field: FieldInfo) -> Any:  # noqa: ANN401
    """Something harmless that the field takes."""
    kind: Any = field.annotation
    for one in field.metadata:
        kind = Annotated[kind, one]
    adapter = pydantic.TypeAdapter[Any](kind)
    for strict in (True, False):
        for value in _STAND_INS:
            try:
                adapter.validate_python(value, strict=strict)
            except pydantic.ValidationError:
                continue
            return copy.deepcopy(value)
    return None
