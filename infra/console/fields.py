"""Controls for one declared value: a number with its unit, a choice, a switch or a text."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from infra.console.asking import number_text, permitted, refusal_of, value_of
from infra.console.units import shown
from schemas.quantity import Quantity, Scalar

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
    field = ui.input(label, value="" if given is None else number_text(given), validation=_complaint(declared))
    field.props("dense outlined inputmode=decimal")
    if unit := shown(declared.unit):
        field.props["suffix"] = unit
    if bounds := permitted(declared):
        field.props["hint"] = bounds
    return field.classes("ts-control ts-control-number")


def _complaint(declared: Quantity) -> Callable[[object], str | None]:
    """What is said below a field while it holds what would be refused."""

    def complaint(given: object) -> str | None:
        words = str(given or "").strip()
        return refusal_of(declared, value_of(declared, words)) or None if words else None

    return complaint


def entered(one: Control) -> object:
    """What a control holds."""
    value = one.value
    return value.strip() if isinstance(value, str) else value


class Followed:
    """A control that shows a value in force, unless somebody is writing another one there.

    Args:
        control: What shows it.
        declared: What the value may be.
        present: The value in force that it shows; None when it shows none.
    """

    def __init__(self, control: Control, declared: Quantity, present: Scalar | None) -> None:
        self.control = control
        self.present = present
        self._declared = declared

    def given(self) -> object:
        """What it holds, as the value that this stands for; None for nothing."""
        held = entered(self.control)
        return None if held == "" and self.present is None else value_of(self._declared, held)

    def is_edited(self) -> bool:
        """Whether it holds something else than what is in force."""
        return self.given() != self.present

    def follow(self, value: Scalar) -> None:
        """Another value is in force."""
        if value == self.present:
            return
        edited = self.is_edited()
        self.present = value
        if not edited:
            self.restore()

    def restore(self) -> None:
        """Show what is in force."""
        set_value(self.control, self.present)


def set_value(one: Control, value: object) -> None:
    """Let a control show another value."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        one.set_value(number_text(value))
    else:
        one.set_value(value)
