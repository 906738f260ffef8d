"""The reference of all built-in functions, from their docstrings, models and bindings."""

import inspect
import re
from typing import Any

import yaml

from infra.authoring.key_reference import sections, table
from schemas.definition import AMBIENT
from schemas.docstrings import section, summary
from schemas.step import StateField, StepOutput
from twins.definition_schema import config_schema
from twins.functions.built_in import BoundStep, BuiltIn
from twins.functions.registry import BUILT_INS

_HEAD = """\
<!-- Made from the code by `python -m infra.authoring.reference docs`. -->

# Built-in functions

What `step:` in a [`twin.yaml`](definition.md) may name besides functions of the folder. `config` are their settings.
Arguments are wired by name like those of any step; outputs are named in `twin.yaml`, by position. Arguments and outputs
below are those of the example's settings, where they depend on them. A unit such as `{value}/s` is that of the argument
`value` per second, `{delta value}` that of differences of it; where nothing is said any unit may be.

Intervals are those of event time. A record at the same time as the one before it, or a late one that is flagged, adds
none.
"""


def functions_page() -> str:
    """Markdown of all built-in functions."""
    names = ", ".join(f"[`{name}`](#{name})" for name in sorted(BUILT_INS))
    return "\n".join([_HEAD, f"{names}.\n", *(_function(BUILT_INS[name]) for name in sorted(BUILT_INS))])


def _function(built_in: BuiltIn) -> str:
    bound = built_in.bind(built_in.example)
    said = section(built_in.doc, "Args") | section(bound.function.__doc__ or "", "Args")
    parts = [f"## `{built_in.name}`\n\n{_prose(built_in.doc)}\n"]
    if settings := _settings(built_in):
        parts.append(settings)
    parts.append(f"```yaml\n{example_of(built_in)}```\n")
    rows = [
        f"| argument `{name}` | | {_unit(bound, name, AMBIENT.get(name, ''))} | {_cell(said.get(name, ''))} |"
        for name in bound.arguments
    ]
    rows += [
        f"| output `{name}` | {one.type} | {_unit(bound, name, one.unit)} | {_cell(one.description)} |"
        for name, one in bound.outputs.items()
    ]
    rows += [
        f"| state `{name}` | {_shape(one)} | {_unit(bound, name, one.unit)} | {_cell(one.description)} |"
        for name, one in bound.state.items()
    ]
    parts.append("| what | type | unit | says |\n|---|---|---|---|\n" + "\n".join(rows) + "\n")
    if returns := _returns(built_in.doc):
        parts.append(f"Gives: {returns}\n")
    return "\n".join(parts)


def example_of(built_in: BuiltIn) -> str:
    """A pipeline of one step with the example's settings, as YAML."""
    bound = built_in.bind(built_in.example)
    step: dict[str, Any] = {"name": f"my_{built_in.name}", "step": built_in.name}
    own = [name for name in bound.arguments if name not in AMBIENT]
    step |= {"inputs": {name: f"my_{name}" for name in own}} if own else {}
    step |= {"config": dict(built_in.example)} if built_in.example else {}
    step["outputs"] = {f"my_{name}_now": _declared(one) for name, one in bound.outputs.items()}
    return str(
        yaml.safe_dump({"pipeline": [step]}, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
    )


def _declared(output: StepOutput) -> dict[str, str]:
    return {"type": output.type} if output.type != "float" else {}


def _prose(doc: str) -> str:
    found = summary(doc)
    # The source is worth a line of its own.
    return re.sub(r"\s+Source: ", "\n\nSource: ", found)


def _settings(built_in: BuiltIn) -> str:
    schema, known = config_schema(built_in)
    found = sections("config", schema, known)
    return "\n".join(table(part, known, f"`{path}`") for path, part in found if part["properties"])


def _unit(bound: BoundStep, name: str, declared: str) -> str:
    unit = bound.units.get(name, declared)
    return f"`{unit}`" if unit else ""


def _shape(field: StateField) -> str:
    return f"{field.type}{list(field.shape)}" if field.shape else field.type


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _returns(doc: str) -> str:
    found = re.search(r"^Returns:\n((?:[ ]+.*\n?)+)", inspect.cleandoc(doc) + "\n", re.MULTILINE)
    return " ".join(found[1].split()) if found else ""
