"""`/try`: telemetry sent to a twin by hand, and the twin beside it."""

import asyncio
from typing import Any

from nicegui import ui
from nicegui.client import Client
from starlette.requests import Request

from infra.access.grants import Scope
from infra.console.asking import Outcome, value_of
from infra.console.desk import Desk, desk_of
from infra.console.elements import LiveValues, Moment, StatusMark, card, text
from infra.console.fields import Control, control, entered
from infra.console.panels import item_of
from infra.console.recording_card import RecordingCard
from infra.console.sender import Sender, lacking, told_why
from infra.console.shell import live, page
from infra.console.trying import as_json, send
from schemas.definition import Definition

_PAUSE_S = 0.5
_QUIET_S = 30.0


@ui.page("/try")
async def try_it(request: Request, client: Client, type: str = "", id: str = "") -> None:  # noqa: A002
    """The page."""
    desk = desk_of(request)
    types = desk.services.catalogue.types()
    with page("Try it", "/try"):
        with ui.element("div").classes("ts-titlebar"):
            text("Try it", "h1", "ts-h1")
            text("Send telemetry to a twin by hand, as its device would, and watch it.", "p", "ts-muted")
        if not types:
            text("No type is deployed: a twin needs one. “Types” takes the folder of one.", "p", "ts-nothing")
            return
        view = _View(desk, type if type in types else min(types), id)
    live(client, view.follow)


class _View:
    """The open page of one viewer."""

    def __init__(self, desk: Desk, type_name: str, twin: str) -> None:
        self._desk = desk
        self._services = desk.services
        self._refused = lacking(desk.caller, Scope.REQUEST)
        self._type = type_name
        known = desk.services.states.page(type_name, "", 1)
        self._twin = twin or (known[0] if known else f"{type_name.rsplit('.', maxsplit=1)[-1]}-1")
        self._changed = asyncio.Event()
        self._controls: dict[str, Control] = {}
        with ui.element("div").classes("ts-columns ts-even"):
            with ui.element("div").classes("ts-main"):
                self._send_card(type_name)
                RecordingCard(desk, lambda: (self._type, self._twin))
            with card("Twin"):
                self._shown = ui.element("div")
        self._build()

    def _send_card(self, type_name: str) -> None:
        with card("Send"):
            with ui.element("div").classes("ts-form"):
                types = sorted(self._services.catalogue.types())
                ui.select(types, label="Type", value=type_name, on_change=self._of_type).props(
                    "dense outlined options-dense"
                ).classes("ts-control")
                twin_field = ui.input("Twin", value=self._twin, on_change=self._of_twin)
                twin_field.props("dense outlined").classes("ts-control")
            told_why(self._refused)
            self._form = ui.element("div")

    def _definition(self) -> Definition | None:
        found = self._services.catalogue.get(self._type)
        return found.definition if found else None

    def _build(self) -> None:
        definition = self._definition()
        self._form.clear()
        self._shown.clear()
        if definition is None:
            return
        state = self._services.states.twin(self._type, self._twin)
        present = state.inputs if state else {}
        with self._form:
            with ui.element("div").classes("ts-form ts-parameters ts-above-table"):
                self._controls = {
                    name: control(name, declared, present.get(name, _middle(declared)))
                    for name, declared in definition.inputs.items()
                }
                for name, one in self._controls.items():
                    one.props["title"] = definition.inputs[name].description
            sender = Sender("Send", "Send these values", primary=True, refused=self._refused)
            sender.does(self._send_values)
            with ui.element("details").classes("ts-details"):
                text("Send a payload of your own, sound or not", "summary")
                self._raw = ui.textarea("Payload", value='{"t1": "warm"}').props("dense outlined autogrow")
                self._raw.classes("ts-wide-control")
                raw = Sender("Send payload", "Send this payload", refused=self._refused)
                raw.does(self._send_raw)
        with self._shown:
            self._nothing = text(_nothing(self._twin), "p", "ts-nothing")
            with ui.element("p").classes("ts-facts ts-muted") as self._facts:
                self._link = ui.element("a").classes("ts-link")
                self._status = StatusMark("ok")
                with ui.element("span"):
                    text("last record ")
                    self._heard = Moment(None)
            outputs = definition.fields()
            self._values = LiveValues("Results", [item_of(name, one) for name, one in outputs.items()], {})
        self._refresh()

    def _refresh(self) -> None:
        state = self._services.states.twin(self._type, self._twin)
        there = state is not None
        self._nothing.set_visibility(not there)
        self._nothing.set_text(_nothing(self._twin))
        self._facts.set_visibility(there)
        self._values.set_visibility(there)
        if state is not None:
            self._status.show(state.status)
            self._heard.show(state.event_time_ns or None)
            self._values.show(state.outputs)
            self._link.props.update({"href": f"/twins/{self._type}/{self._twin}", "innerText": self._twin})
            self._link.update()

    def _of_type(self, event: Any) -> None:  # noqa: ANN401 - of NiceGUI
        self._type = event.value
        self._build()
        self._changed.set()

    def _of_twin(self, event: Any) -> None:  # noqa: ANN401 - of NiceGUI
        self._twin = (event.value or "").strip()
        self._refresh()
        self._changed.set()

    async def _send_values(self) -> Outcome:
        definition = self._definition()
        if definition is None:
            return Outcome("refused", f"{self._type} is not deployed any more")
        values = {name: value_of(definition.inputs[name], entered(one)) for name, one in self._controls.items()}
        return await send(self._services, self._desk.caller, self._type, self._twin, as_json(values))

    async def _send_raw(self) -> Outcome:
        return await send(self._services, self._desk.caller, self._type, self._twin, (self._raw.value or "").encode())

    async def follow(self) -> None:
        """Keep the twin's side true until the page is closed."""
        while True:
            self._changed.clear()
            with self._services.feed.subscribe(self._type, self._twin) as subscription:
                while not (self._changed.is_set() or subscription.closing):
                    if await subscription.wait(1.0):
                        subscription.take(lambda *_: None)
                        self._refresh()
                    await asyncio.sleep(_PAUSE_S)
            await asyncio.sleep(_PAUSE_S)


def _nothing(twin: str) -> str:
    return f"There is no twin {twin or 'without a name'} yet: the first record makes it."


def _middle(declared: Any) -> object:  # noqa: ANN401 - an input
    if declared.type == "bool":
        return False
    if declared.choices:
        return declared.choices[0]
    low, high = declared.range or (0.0, 0.0)
    middle = (low + high) / 2
    return round(middle) if declared.type == "int" else round(middle, 3)
