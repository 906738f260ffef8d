"""The references of keys of `twin.yaml`, of functions, of metrics and of topics, made from the code.

`python -m infra.authoring.reference docs` writes it, and the JSON Schema, into `docs/`.
"""

import sys
from pathlib import Path

from infra.authoring.asyncapi import asyncapi_text
from infra.authoring.function_reference import functions_page
from infra.authoring.key_reference import keys_page
from infra.authoring.metrics_reference import metrics_page
from twins.definition_schema import definition_schema, schema_text


def pages() -> dict[str, str]:
    """Text by file name."""
    return {
        "twin.schema.json": schema_text(),
        "definition.md": keys_page(definition_schema()),
        "functions.md": functions_page(),
        "metrics.md": metrics_page(),
        "asyncapi.yaml": asyncapi_text(),
    }


if __name__ == "__main__":
    for name, text in pages().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
