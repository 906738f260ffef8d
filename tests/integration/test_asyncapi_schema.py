"""`docs/asyncapi.yaml` is what the AsyncAPI initiative's own JSON Schema calls an AsyncAPI 3 document."""

import json
from copy import deepcopy
from typing import Any

import jsonschema
import pytest
import yaml
from servers.availability import unavailable
from support.instance import ROOT

from infra.embedded.cache import cache_dir

pytestmark = [pytest.mark.system]

VERSION = "6.11.1"


@pytest.fixture(scope="module")
def told() -> Any:
    return yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text("utf-8"))


@pytest.fixture(scope="module")
def schema(told: Any) -> jsonschema.Draft7Validator:
    folder = cache_dir() / f"asyncapi-specs-{VERSION}" / "node_modules" / "@asyncapi" / "specs" / "schemas"
    file = folder / f"{told['asyncapi']}-without-$id.json"
    if not file.is_file():
        unavailable("AsyncAPI's schemas", "scripts/servers gets them")
    return jsonschema.Draft7Validator(json.loads(file.read_text("utf-8")))


def _faults(schema: jsonschema.Draft7Validator, told: Any) -> list[list[str | int]]:
    return [list(fault.absolute_path) for fault in schema.iter_errors(told)]


def test_the_document_is_valid(schema: jsonschema.Draft7Validator, told: Any) -> None:
    assert _faults(schema, told) == []


def test_the_schema_finds_what_is_wrong(schema: jsonschema.Draft7Validator, told: Any) -> None:
    wrong = deepcopy(told)
    del wrong["info"]["title"]
    wrong["channels"]["type_commands"]["adress"] = "x"
    wrong["operations"]["send_type_commands"]["action"] = "publish"
    found = _faults(schema, wrong)
    assert {"info", "channels", "operations"} == {path[0] for path in found}
