"""`docs/asyncapi.yaml`: every topic, and messages that are as the document says."""

from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from support.http_api import Api

from infra.access.audit import Entry
from infra.authoring.asyncapi import document
from infra.authoring.reference import pages
from schemas import topics
from schemas.messages import encode
from streams.log.admin import SHARED_TOPICS

DOCUMENT = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"


def test_what_is_made_from_the_code_is_current() -> None:
    remedy = "run: .venv/bin/python -m infra.authoring.reference docs"
    assert DOCUMENT.read_text("utf-8") == pages()["asyncapi.yaml"], remedy


def test_every_topic_is_a_channel_and_nothing_else() -> None:
    addresses = [channel["address"] for channel in document()["channels"].values()]
    assert sorted(addresses) == sorted([*SHARED_TOPICS, *topics.TypeTopics("{type}").all()])


def test_every_reference_resolves_and_every_operation_has_a_channel() -> None:
    told = yaml.safe_load(DOCUMENT.read_text("utf-8"))

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for item in node for found in references(item)] if isinstance(node, list) else []

    for reference in references(told):
        node = told
        for name in reference.removeprefix("#/").split("/"):
            node = node[name]
    used = {operation["channel"]["$ref"] for operation in told["operations"].values()}
    assert used == {f"#/channels/{name}" for name in told["channels"]}
    assert told["asyncapi"] == "3.0.0"


def _valid(name: str, message: bytes) -> None:
    told = document()
    schema = {"$ref": f"#/components/schemas/{name}", "components": told["components"]}
    jsonschema.Draft202012Validator(schema).validate(msgspec.json.decode(message))


def test_messages_are_as_the_document_says() -> None:
    api = Api()
    _valid("Command", encode(api.command("a", "heater", value=True)))
    entry = Entry(
        id="0", time_ns=5, who="", via="nothing", credential="", address="", action="x", path="", type="", twin="",
        content="", result="done", status=200,
    )  # fmt: skip
    _valid("Entry", encode(entry))
    api.token("read", "admin", types=("box",))
    (token,) = api.tokens.all()
    _valid("Token", encode(token))
    with pytest.raises(jsonschema.ValidationError):
        _valid("Token", encode(entry))
