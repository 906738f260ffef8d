"""Which curves of a type stand in which panel. Pure."""

from typing import Any

from infra.console.units import shown
from schemas.definition import Definition
from schemas.quantity import Quantity
from schemas.step import StepOutput

_COLOURS = 8
_MOST_PANELS = 5

Panel = dict[str, Any]


def item_of(name: str, declared: Quantity | StepOutput) -> dict[str, str]:
    """A value in a list of present values: its name, unit and what it is."""
    return {"key": name, "label": name.replace("_", " "), "unit": shown(declared.unit), "hint": declared.description}


def panels_of(definition: Definition) -> list[Panel]:
    """Panels of a type's time series: one for each unit, in the order of the definition, then switches together.

    So the curves that are to be compared, measured and estimated, stand in one, and what is left between them below.
    """
    fields = definition.fields()
    panels: dict[str, Panel] = {}
    states: list[dict[str, Any]] = []
    for colour, name in enumerate(definition.outputs.timeseries.fields):
        declared = fields.get(name) or definition.inputs.get(name)
        unit = shown(definition.unit_of(name))
        series = {
            "field": name,
            "label": name.replace("_", " "),
            "kind": "state" if declared is not None and declared.type == "bool" else "line",
            "colour": f"--curve-{colour % _COLOURS}",
            "hint": declared.description if declared is not None else "",
        }
        if series["kind"] == "state":
            states.append(series)
        else:
            panel = panels.setdefault(unit, {"title": unit or "Numbers", "unit": unit, "kind": "curves", "series": []})
            panel["series"].append(series)
    found = list(panels.values())[:_MOST_PANELS]
    if states:
        found.append({"title": "Switches", "unit": "", "kind": "states", "series": states})
    return found
