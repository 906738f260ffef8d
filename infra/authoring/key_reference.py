"""The reference of all keys of `twin.yaml`, from its JSON Schema."""

from collections.abc import Iterator
from typing import Any

from schemas.definition import AMBIENT, BUILT_IN_REQUESTS
from schemas.names import RESERVED_EVENTS, RESERVED_FIELDS

_HEAD = """\
<!-- Made from the code by `python -m infra.authoring.reference docs`. -->

# Keys of `twin.yaml`

Every key that a definition may have. Any other key is a fault, and so is one that is given twice. How the parts work
together is told in [write a twin](write-a-twin.md); the settings of built-in steps are in [functions](functions.md).
[`twin.schema.json`](twin.schema.json) says the same to editors, `twinstream schema` prints it.

Names of fields, steps, events, commands and requests are of letters, digits and underscores, at most 128, beginning
with a letter. In YAML `on`, `off`, `yes` and `no` are booleans: as names they must stand in quotes.
"""
_KINDS = {"number": "number", "integer": "whole number", "boolean": "`true` or `false`", "string": "text"}


def keys_page(schema: dict[str, Any]) -> str:
    """Markdown of all keys.

    Args:
        schema: Of a definition.
    """
    parts = [_HEAD]
    for path, section in sections("", schema, schema["definitions"]):
        title = f"## `{path}`" if path else "## At the top"
        parts.append(f"{title}\n\n{section['description']}\n\n{table(section, schema['definitions'])}")
    return "\n".join([*parts, _tail()])


def sections(path: str, part: Any, known: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401
    """Every part of a definition that has keys of its own, with its place."""
    part = _resolved(part, known)
    if "properties" in part:
        yield path, part
        for key, below in part["properties"].items():
            yield from sections(f"{path}.{key}".lstrip("."), below, known)
    for below in part.get("patternProperties", {}).values():
        yield from sections(f"{path}.NAME", below, known)
    if isinstance(part.get("items"), dict):
        yield from sections(f"{path}.N", part["items"], known)
    for below in (*part.get("anyOf", ()), *part.get("oneOf", ())):
        yield from sections(path, below, known)


def _resolved(part: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    found = part
    for reference in (part, *part.get("allOf", ())):
        if "$ref" in reference:
            found = known[reference["$ref"].rpartition("/")[2]]
    return found


def table(section: dict[str, Any], known: dict[str, Any], title: str = "key") -> str:
    """Markdown of the keys of one part."""
    lines = [f"| {title} | value | default | says |", "|---|---|---|---|"]
    required = section.get("required", [])
    for key, declared in section["properties"].items():
        default = "required" if key in required else _default(declared.get("default"))
        said = declared.get("description", "").replace("|", "\\|")
        lines.append(f"| `{key}` | {value_of(declared, known)} | {default} | {said} |")
    return "\n".join(lines) + "\n"


def _default(value: Any) -> str:  # noqa: ANN401 - JSON is what it is
    if value is None or value in ({}, []) or isinstance(value, dict):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != "" else '`""`'


def value_of(declared: dict[str, Any], known: dict[str, Any]) -> str:  # noqa: PLR0911 - one case per kind
    """What a value may be, for people."""
    if "const" in declared:
        return f"`{declared['const']}`"
    if "enum" in declared:
        return ", ".join(f"`{choice}`" for choice in declared["enum"])
    resolved = _resolved(declared, known)
    if "properties" in resolved:
        return "keys below"
    choices = [one for one in (*resolved.get("anyOf", ()), *resolved.get("oneOf", ())) if one.get("type") != "null"]
    if choices:
        constants = [one for one in choices if "const" in one]
        others = [value_of(one, known) for one in choices if "const" not in one]
        return " or ".join(dict.fromkeys([*(["name of a built-in"] if constants else []), *others]))
    kind = resolved.get("type", "")
    if isinstance(kind, list):
        return " or ".join(_KINDS[one] for one in kind)
    if kind == "array":
        return _list_of(resolved, known)
    if kind == "object":
        below = [*resolved.get("patternProperties", {}).values()]
        return f"name to {value_of(below[0], known)}" if below else "keys and values"
    return _KINDS.get(kind, "any") + _bounds(resolved)


def _list_of(declared: dict[str, Any], known: dict[str, Any]) -> str:
    items = declared.get("items", {})
    if isinstance(items, list):
        return f"[{', '.join(value_of(one, known) for one in items)}]"
    return f"list of {value_of(items, known)}"


def _bounds(declared: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {declared[key]:g}" for key, sign in signs.items() if key in declared]
    return f" {', '.join(found)}" if found else ""


def _tail() -> str:
    ambient = "\n".join(f"| `{name}` | `{unit}` |" for name, unit in AMBIENT.items())
    requests = "\n".join(f"| `{name}` | {request.description} |" for name, request in BUILT_IN_REQUESTS.items())
    return f"""\
## Names that are there without being declared

Every step may take these as arguments:

| name | unit |
|---|---|
{ambient}

Every type has these requests:

| request | does |
|---|---|
{requests}

## Names that are taken

No field: {", ".join(f"`{name}`" for name in sorted(RESERVED_FIELDS))}. No event:
{", ".join(f"`{name}`" for name in sorted(RESERVED_EVENTS))}.
"""
