"""Controls for one declared value: a number with its unit, a choice, a switch or a text."""

from typing import Any

from nicegui import ui

from infra.console.asking import bounds_of, number_text
from infra.console.units import shown
from schemas.quantity import Quantity

Control = Any
"""An element with a `value`."""


def control(name: str, declared: Quantity, value: object = None) -> Control:
    """A control named after a value that it starts with."""
    label = name.replace("_", " ")
    if declared.type == "bool":
        return ui.switch(label, value=bool(value)).props("dense").classes("ts-control")
    if declared.choices:
        chosen = value if value in declared.choices else None
        return (
            ui.select(list(declared.choices), label=label, value=chosen)
            .props("dense outlined options-dense")
            .classes("ts-control")
        )
    if declared.type == "string":
        return ui.input(label, value=str(value or "")).props("dense outlined").classes("ts-control")
    given = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    # A text that looks like a number: no step that browsers would insist on.
    field = ui.input(label, value="" if given is None else number_text(given)).props("dense outlined inputmode=decimal")
    unit, bounds = shown(declared.unit), bounds_of(declared)
    if unit:
        field.props["suffix"] = unit
    if bounds:
        field.props["hint"] = f"{bounds} {unit}".strip()
    return field.classes("ts-control ts-control-number")


def entered(one: Control) -> object:
    """What a control holds."""
    value = one.value
    return value.strip() if isinstance(value, str) else value


def set_value(one: Control, value: object) -> None:
    """Let a control show another value."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        one.set_value(number_text(value))
    else:
        one.set_value(value)
