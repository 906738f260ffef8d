"""Blocks of `docs/write-a-twin.md` that need nothing that runs: parts of definitions, and functions."""

import textwrap
from typing import Any

import jsonschema
import pytest
import yaml
from support.guide import Block, blocks

from twins.definition_schema import definition_schema

LANGUAGES = {"sh", "yaml", "python", "csv"}
PARTS = [block for block in blocks() if block.language == "yaml" and not block.file]


def test_every_block_says_what_it_is() -> None:
    assert {block.language for block in blocks()} <= LANGUAGES


def _wholes(part: Any) -> list[dict[str, Any]]:
    """Definitions that a part may be of: the pipeline, keys of a step, keys at the top."""
    head = {"name": "a", "version": "1.0.0", "inputs": {"x": {}}}
    if isinstance(part, list):
        return [{**head, "pipeline": part}]
    step = {"name": "a", "step": "a.py:b", "outputs": ["y"]}
    return [{**head, **part}, {**head, "pipeline": [{**step, **part}]}]


@pytest.mark.parametrize("block", PARTS, ids=lambda block: f"line {block.line}")
def test_a_part_of_a_definition_fits_the_schema(block: Block) -> None:
    validator = jsonschema.Draft7Validator(definition_schema())
    part = yaml.safe_load(textwrap.dedent(block.text))
    faults = [[error.message for error in validator.iter_errors(whole)] for whole in _wholes(part)]
    assert [] in faults, faults
