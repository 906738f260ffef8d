"""What a viewer changes on the page of a twin, and what keeps them from it."""

import asyncio
from collections.abc import Iterator
from typing import Any

from nicegui import ui
from nicegui.client import Client
from nicegui.element import Element
from support.console import blank_page

from infra.access.caller import ANYBODY, Caller
from infra.access.grants import Scope
from infra.console.asking import Outcome
from infra.console.controls import ParametersCard, RequestsCard
from infra.console.dialogs import confirmed
from infra.console.sender import lacking
from schemas.definition_file import read_definition
from twins.layout import TwinState

DEFINITION = read_definition("""
name: box
version: 1.0.0
inputs: {t: {unit: degC}}
parameters:
  desired: {unit: degC, default: 35, range: [-40, 45]}
  saving: {type: bool, default: false}
pipeline: []
requests:
  warm:
    arguments: {celsius: {unit: degC, range: [-40, 45]}, save: {type: bool}}
    sets: {desired: celsius, saving: save}
""")
STATE = TwinState("1.0.0", 1, 1, 1, 1, "ok", parameters={"desired": 35.0, "saving": False})


def found(client: Client, **props: Any) -> Iterator[Element]:
    """Elements with such properties."""
    return (one for one in client.elements.values() if props.items() <= one.props.items())


async def applied(values: dict[str, Any]) -> Outcome:
    return Outcome("done", str(values))


async def accepted(name: str, arguments: dict[str, Any]) -> Outcome:
    return Outcome("done", f"{name} {arguments}")


async def test_the_form_of_a_request_follows_what_is_in_force_unless_somebody_writes_in_it() -> None:
    async with blank_page() as client:
        card = RequestsCard(DEFINITION, STATE, accepted)
        field: Any = next(found(client, label="celsius"))
        switch: Any = next(one for one in client.elements.values() if isinstance(one, ui.switch))
        assert (field.value, switch.value) == ("35", False)
        card.show({"desired": 30.5, "saving": True})
        assert (field.value, switch.value) == ("30.5", True)
        field.set_value("41")
        card.show({"desired": 20.0, "saving": False})
        assert (field.value, switch.value) == ("41", False)
        card.show({"desired": 41.0, "saving": False})  # what was sent is in force, so that nobody is writing any more
        card.show({"desired": 22.0, "saving": False})
        assert field.value == "22"


async def test_a_field_says_what_is_permitted_before_anything_is_applied() -> None:
    async with blank_page() as client:
        ParametersCard(DEFINITION, STATE, applied)
        field: Any = next(found(client, label="desired"))
        assert field.props["hint"] == "-40 … 45 °C"
        field.set_value("50")
        assert field.error == "50 °C is not permitted; it must be -40 … 45 °C"
        field.set_value("45")
        assert field.error is None


async def test_who_may_only_look_can_press_nothing_and_is_told_which_scope_is_missing() -> None:
    looks = Caller("eve", "token", frozenset({Scope.READ}))
    assert lacking(ANYBODY, Scope.REQUEST) == ""
    refused = lacking(looks, Scope.REQUEST)
    assert refused == "This needs the scope request; you have read."
    async with blank_page() as client:
        RequestsCard(DEFINITION, STATE, accepted, refused)
        ParametersCard(DEFINITION, STATE, applied, refused)
        field: Any = next(found(client, label="desired"))
        field.set_value("40")
        buttons = [one for one in client.elements.values() if one.tag == "button" and one.props["innerText"] != "Undo"]
        assert len(buttons) == 4
        assert all(one.props["disabled"] is True and one.props["title"] == refused for one in buttons)
        assert sum(getattr(one, "text", "") == refused for one in client.elements.values()) == 2


async def test_a_question_ends_with_the_page_that_it_was_asked_on() -> None:
    async with blank_page() as client:

        async def ask() -> bool:
            with client:
                return await confirmed("Remove all?", "Remove")

        asked = asyncio.create_task(ask())
        await asyncio.sleep(0.05)
        client.delete()
        assert await asyncio.wait_for(asked, 5) is False
