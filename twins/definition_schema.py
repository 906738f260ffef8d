"""The JSON Schema of `twin.yaml`, from the model and the built-in steps: editors complete and check by it."""

import json
from typing import Any

from schemas.definition import Definition
from schemas.docstrings import summary
from schemas.names import FIELD_PATTERN
from twins.functions.built_in import BuiltIn
from twins.functions.registry import BUILT_INS

_DRAFT = "http://json-schema.org/draft-07/schema#"
_REF = "#/definitions/{model}"
_AUTHORED = r"^[A-Za-z0-9_/]+\.py:[A-Za-z_][A-Za-z0-9_]*$"


def definition_schema() -> dict[str, Any]:
    """JSON Schema of a definition, draft 7, which is what editors know.

    It says whatever can be said of one key by itself: names, types, ranges, and the settings of each built-in. What
    parts say of each other, such as names of fields, only `twinstream check` knows.
    """
    schema = Definition.model_json_schema(ref_template=_REF)
    parts: dict[str, Any] = schema.pop("$defs")
    parts["Step"]["properties"]["step"] = _step_names(parts["Step"]["properties"]["step"])
    parts["Step"]["allOf"] = []
    for name, built_in in sorted(BUILT_INS.items()):
        config, others = config_schema(built_in)
        parts |= others
        parts[built_in.config.__name__] = config
        settings = {"properties": {"config": {"$ref": _REF.format(model=built_in.config.__name__)}}}
        needed = {"required": ["config"]} if config.get("required") else {}
        parts["Step"]["allOf"].append(
            {"if": {"properties": {"step": {"const": name}}, "required": ["step"]}, "then": settings | needed}
        )
    found: dict[str, Any] = _draft_7({"$schema": _DRAFT, **schema, "title": "twin.yaml", "definitions": parts})
    return found


def schema_text() -> str:
    """The schema as it is written to files."""
    return json.dumps(definition_schema(), indent=1, ensure_ascii=False) + "\n"


def config_schema(built_in: BuiltIn) -> tuple[dict[str, Any], dict[str, Any]]:
    """JSON Schema of a built-in's settings, and of the parts that it refers to."""
    config = _draft_7(built_in.config.model_json_schema(ref_template=_REF))
    others: dict[str, Any] = config.pop("$defs", {})
    return config, others


def _step_names(declared: dict[str, Any]) -> dict[str, Any]:
    built_in = [
        {"const": name, "description": summary(one.doc).partition("\n")[0]} for name, one in sorted(BUILT_INS.items())
    ]
    authored = {"type": "string", "pattern": _AUTHORED, "description": "A function of the folder."}
    return {"description": declared["description"], "title": declared["title"], "anyOf": [*built_in, authored]}


def _draft_7(part: Any) -> Any:  # noqa: ANN401 - JSON is what it is
    """The same in words of draft 7."""
    if isinstance(part, list):
        return [_draft_7(one) for one in part]
    if not isinstance(part, dict):
        return part
    found = {key: _draft_7(value) for key, value in part.items()}
    if "prefixItems" in found:
        found["items"] = found.pop("prefixItems")
        found["additionalItems"] = False
    if "patternProperties" in found or FIELD_PATTERN in found.get("propertyNames", {}).values():
        found.setdefault("additionalProperties", False)
    # Beside a reference draft 7 sees nothing else.
    if "$ref" in found and len(found) > 1:
        found["allOf"] = [{"$ref": found.pop("$ref")}, *found.get("allOf", [])]
    # Titles that only repeat a key say nothing.
    if isinstance(found.get("properties"), dict):
        for one in found["properties"].values():
            if isinstance(one, dict):
                one.pop("title", None)
    return found
