"""What a validation finds, in words for the author of a file: what is wrong at which key, and what to do about it."""

import json
import re
import types
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

from schemas.choices import meant, some_of

_SHOWN_LETTERS = 60
_MESSAGES = {
    "missing": "is missing",
    "string_type": "expected a text, got {input}",
    "float_type": "expected a number, got {input}",
    "int_type": "expected a whole number, got {input}",
    "int_from_float": "expected a whole number, got {input}",
    "bool_type": "expected true or false, got {input}",
    "scalar_type": "expected one value, got {input}",
    "dict_type": "expected keys and values, got {input}",
    "model_type": "expected keys and values, got {input}",
    "list_type": "expected a list, got {input}",
    "tuple_type": "expected a list, got {input}",
    "literal_error": "expected {expected}, got {input}",
    "greater_than": "must be greater than {gt}, not {input}",
    "greater_than_equal": "must be at least {ge}, not {input}",
    "less_than": "must be less than {lt}, not {input}",
    "less_than_equal": "must be at most {le}, not {input}",
    "finite_number": "must be finite, not {input}",
    "too_short": "needs at least {min_length}, not {actual_length}",
    "too_long": "has {actual_length}, at most {max_length} are permitted",
    "string_too_short": "is empty",
    "string_pattern_mismatch": "{input} is not written as it must be",
}
_REMEDIES = {
    "missing": "add it",
    "string_type": "write a text, in quotes if need be",
    "float_type": "write a number, without quotes",
    "int_type": "write a whole number, without quotes",
    "int_from_float": "write a whole number",
    "bool_type": "write true or false, without quotes",
    "scalar_type": "write a number, true or false",
    "dict_type": "write it as {key: value}",
    "model_type": "write it as {key: value}",
    "list_type": "write it as [first, second]",
    "tuple_type": "write it as [first, second]",
    "literal_error": "choose one of them",
    "too_short": "name more",
    "too_long": "name fewer",
    "string_too_short": "write something",
}


_NO_COMMA = "write a point, not a comma, and no quotes"
_WAYS_OUT = (
    (r"^range .* the smaller first", "write [smallest, largest]"),
    (r"expected (float|int), got '-?\d+,\d+'", _NO_COMMA),
    (r"expected (float|int), got '-?\d", "write a number, without quotes"),
    (r"expected (float|int), got", "write a number"),
    (r"is not (in|above|below) ", "write a value within the limits, or mend those"),
    (r"expected one of ", "choose one of them"),
    (r"expected true or false", "write true or false, without quotes"),
)
"""By what the message says, the remedy."""


def told(found: Sequence[Any], model: type[pydantic.BaseModel]) -> list[tuple[tuple[int | str, ...], str, str, str]]:
    """Place, kind, message and remedy of every fault that a validation found, each one once.

    Args:
        found: Pydantic's description of each.
        model: What it validated by.
    """
    places = [item["loc"] for item in found]
    return [
        (_place(item), item["type"], _message(item), _remedy(item, model))
        for item in _of_one_kind(found)
        # A list with a faulty item counts as one that lacks it.
        if not (item["type"] == "too_short" and any(_is_below(place, item["loc"]) for place in places))
    ]


def _of_one_kind(found: Sequence[Any]) -> list[Any]:
    """The same, but one fault for a value that is none of several kinds, rather than one for each of them."""
    kinds: dict[tuple[int | str, ...], list[Any]] = {}
    for item in found:
        if item["loc"] and item["loc"][-1] in {"bool", "int", "float", "str"} and item["type"].endswith("_type"):
            kinds.setdefault(item["loc"][:-1], []).append(item)
    several = {id(item): items for items in kinds.values() if len(items) > 1 for item in items}
    return [
        item | {"loc": item["loc"][:-1], "type": "scalar_type"} if id(item) in several else item
        for item in found
        if id(item) not in several or several[id(item)][0] is item
    ]


def _is_below(place: Sequence[Any], above: Sequence[Any]) -> bool:
    return len(place) > len(above) and tuple(place[: len(above)]) == tuple(above)


def _place(item: Any) -> tuple[int | str, ...]:  # noqa: ANN401 - pydantic's own description of a fault
    """Where a fault is: what parts say of each other begins with the key that is to be mended."""
    named = named_key(item)
    return (*item["loc"], named) if named else item["loc"]


def named_key(item: Any) -> str:  # noqa: ANN401 - pydantic's own description of a fault
    """The key with which the message of a fault of several keys begins, `""` when it is a fault of one."""
    first = re.match(r"\w+", _message(item)) if item["type"] == "value_error" else None
    return first[0] if first is not None and isinstance(item["input"], dict) and first[0] in item["input"] else ""


def _message(item: Any) -> str:  # noqa: ANN401 - pydantic's own description of a fault
    if item["type"] == "extra_forbidden":
        return f"unknown key {_shown(item['loc'][-1])}"
    text = _MESSAGES.get(item["type"])
    if text is None:
        return str(item["msg"]).removeprefix("Value error, ")
    return text.format(**{**item.get("ctx", {}), "input": _shown(item["input"])})


def _shown(value: Any) -> str:  # noqa: ANN401 - whatever stands in a file
    if value is None:
        return "nothing"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:  # noqa: PLR2004
        return "a huge number"
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):
        text = type(value).__name__
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text if len(text) <= _SHOWN_LETTERS else f"{text[:_SHOWN_LETTERS]}…"


def _remedy(item: Any, model: type[pydantic.BaseModel]) -> str:  # noqa: ANN401 - likewise
    context = item.get("ctx", {})
    if own := context.get("remedy") or getattr(context.get("error"), "remedy", ""):
        return str(own)
    if item["type"] == "extra_forbidden":
        keys = keys_at(model, item["loc"][:-1])
        near = meant(str(item["loc"][-1]), keys)
        known = some_of(keys, str(item["loc"][-1]), "docs/definition.md and docs/functions.md have all")
        known = f"keys here: {known}" if keys else "there are no keys here"
        return f"remove it, or write {near}; {known}" if near else f"remove it; {known}"
    if item["type"] == "literal_error":
        near = meant(str(item["input"]), re.findall("'([^']+)'", context["expected"]))
        return f"write {near}" if near else "choose one of them"
    if item["type"] == "float_type" and re.fullmatch(r"[A-Za-z_]\w*|-?\d+,\d+", str(item["input"])):
        is_name = "," not in str(item["input"])
        return "write a number; it can't be the name of a parameter or field" if is_name else _NO_COMMA
    if item["type"] in {"dict_type", "model_type", "list_type", "tuple_type"}:
        return _shape_remedy(item, model)
    return _REMEDIES.get(item["type"]) or next(
        (way_out for pattern, way_out in _WAYS_OUT if re.search(pattern, _message(item))), "mend the value"
    )


def _shape_remedy(item: Any, model: type[pydantic.BaseModel]) -> str:  # noqa: ANN401 - likewise
    """How to write what is no mapping or list, with the value that stands there."""
    value, kind = item["input"], item["type"]
    names = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    named = bool(names) and all(isinstance(name, str) and name.isidentifier() for name in names)
    if kind in {"list_type", "tuple_type"}:
        return f"write it as [{value}]" if named else _REMEDIES[kind]
    if kind == "dict_type" and named:
        return f"write it as {{{', '.join(f'{name}: …' for name in names[:3])}{', …' if len(names) > 3 else ''}}}"  # noqa: PLR2004
    if value is None:
        return "write {} where there is nothing to say, or {key: value}"
    keys = {key: field for fields in fields_at(model, item["loc"]) for key, field in fields.items()}
    if kind == "model_type" and isinstance(value, str | int | float):
        number = not isinstance(value, str)
        likely = ("default", "initial") if number else ("when", "field", "unit")
        key = next((one for one in likely if one in keys and (keys[one].is_required() or one in likely[-1:])), "")
        return f"write it as {{{key}: {_shown(value).strip(chr(34))}}}" if key else _REMEDIES[kind]
    return _REMEDIES[kind]


def keys_at(model: type[pydantic.BaseModel], place: Iterable[int | str]) -> list[str]:
    """Keys that a model knows at a place in its values."""
    return list(dict.fromkeys(key for fields in fields_at(model, place) for key in fields))


def fields_at(model: type[pydantic.BaseModel], place: Iterable[int | str]) -> list[dict[str, FieldInfo]]:
    """Fields, by the keys of the file, of each model that may stand at a place in a model's values."""
    here: list[Any] = [model]
    for key in place:
        below = [one for kind in here for one in _below(kind, key)]
        # Pydantic also names the kind of what it tried: that leads no further down.
        here = below or here
    return [_keys(kind) for kind in here if _is_model(kind)]


def _keys(model: type[pydantic.BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _below(kind: Any, key: int | str) -> list[Any]:  # noqa: ANN401 - a type
    if _is_model(kind):
        return _plain(_keys(kind)[str(key)].annotation) if key in _keys(kind) else []
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict:
        return _plain(arguments[1])
    if origin in {tuple, list} and isinstance(key, int):
        return _plain(arguments[0])
    return []


def _plain(kind: Any) -> list[Any]:  # noqa: ANN401 - a type
    """The types that a value may have, without what only annotates them."""
    if hasattr(kind, "__metadata__"):
        return _plain(get_args(kind)[0])
    if get_origin(kind) in {Union, types.UnionType}:
        return [one for choice in get_args(kind) for one in _plain(choice)]
    return [] if get_origin(kind) is Literal else [kind]


def _is_model(kind: Any) -> bool:  # noqa: ANN401 - a type
    return isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, pydantic.BaseModel)
