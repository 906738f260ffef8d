"""What the page of a twin shows, and how it goes on."""

import asyncio
from typing import Any

from nicegui import ui

from connectors.documents import COMMAND_TIMES, Collection
from connectors.stores import StoreUnavailableError
from infra.console import asking, history
from infra.console.controls import ParametersCard, requests_card
from infra.console.desk import Desk
from infra.console.elements import Curves, DataTable, LiveValues, Moment, StatusMark, text
from infra.console.exporting import exported
from infra.console.frames import told
from infra.console.panels import item_of, panels_of
from infra.console.shell import tell
from infra.console.units import shown
from schemas.definition import Definition
from schemas.errors import SetupError
from twins.layout import TwinState

_PAUSE_S = 0.5
_COMMANDS = 8
_EVENTS = 8
_COMMANDS_EVERY_S = 1.0
_QUIET_S = 30.0
_FIRST_RANGE = "30 min"
_LATEST_MS = 9e12
"""Of what a page may ask for; the store's times end a little later."""

_COMMAND_COLUMNS = (
    {"key": "status", "label": "Status", "kind": "status", "header": False},
    {"key": "name", "label": "Command", "header": True},
    {"key": "value", "label": "Value", "kind": "number"},
    {"key": "issued", "label": "Issued", "kind": "time"},
    {"key": "since", "label": "Last change", "kind": "time", "narrow": True},
    {"key": "reason", "label": "Reason", "narrow": True},
)
_EVENT_COLUMNS = (
    {"key": "severity", "label": "Severity", "kind": "status"},
    {"key": "name", "label": "Event", "header": True},
    {"key": "time", "label": "Time", "kind": "time"},
    {"key": "data", "label": "Data", "kind": "readings", "wide": True},
)
_NO_COMMANDS = "No command yet: the twin has not told its device anything."
_NO_EVENTS = "No event since the console was started. Events of this twin appear here and as marks on the curves."


class TwinView:
    """The open page of one viewer."""

    def __init__(self, desk: Desk, type_name: str, twin: str, definition: Definition, state: TwinState) -> None:
        self._desk = desk
        self._services = desk.services
        self._type = type_name
        self._twin = twin
        self._definition = definition
        self._range = _FIRST_RANGE
        self._fields = [name for panel in panels_of(definition) for name in (s["field"] for s in panel["series"])]
        self._commands_due = True
        self._events: list[dict[str, Any]] = []
        self._title(state)
        with ui.element("div").classes("ts-columns"):
            with ui.element("div").classes("ts-main"):
                self._curves_card()
                with ui.element("div").classes("ts-pair"):
                    with _card("Events"):
                        self._event_table = DataTable("Latest events", _EVENT_COLUMNS, empty=_NO_EVENTS)
                    with _card("Commands"):
                        self._command_table = DataTable("Latest commands", _COMMAND_COLUMNS, empty=_NO_COMMANDS)
                self._parameters = ParametersCard(definition, state, self._change)
            with ui.element("div").classes("ts-side"):
                self._values_card(state)
                requests_card(definition, state, self._request)

    def _title(self, state: TwinState) -> None:
        with ui.element("div").classes("ts-titlebar"):
            text(self._twin, "h1", "ts-h1")
            self._status = StatusMark(state.status)
            with ui.element("span").classes("ts-muted ts-facts"):
                with ui.element("span"):
                    ui.link(self._type, f"/types/{self._type}").classes("ts-link")
                    self._version = text(f" {state.version}")
                with ui.element("span"):
                    text("last record ")
                    self._heard = Moment(state.event_time_ns or None)
                for name, value in sorted(state.tags.items()):
                    text(f"{name}={value}", "span", "ts-chip")
                ui.link("Send telemetry by hand", f"/try?type={self._type}&id={self._twin}").classes("ts-link")

    def _curves_card(self) -> None:
        panels = panels_of(self._definition)
        with _card("History") as card:
            card.classes("ts-history")
            if not panels:
                words = "This type stores no time series. Name fields under outputs.timeseries.fields to see curves."
                text(words, "p", "ts-nothing")
                self._curves = None
                return
            with ui.element("div").classes("ts-ranges") as group:
                group.props.update({"role": "group", "aria-label": "Length of the history"})
                self._range_buttons = {}
                for name in history.RANGES:
                    button = ui.element("button").classes("ts-range")
                    button.props.update({"type": "button", "innerText": name})
                    button.on("click", lambda _, name=name: self._look_back(name))
                    self._range_buttons[name] = button
            with ui.element("div").classes("ts-export") as export:
                export.props.update({"role": "group", "aria-label": "Export what is shown"})
                for label, suffix in (("CSV", ".csv"), ("Parquet", ".parquet")):
                    button = ui.element("button").classes("ts-button ts-small")
                    button.props.update(
                        {"type": "button", "innerText": f"Export {label}", "aria-label": f"Export as {label}"}
                    )
                    button.on("click", lambda _, suffix=suffix: self._export(suffix))
            self._curves = Curves(panels, label=f"Curves of {self._twin}")
            self._curves.on("zoom", self._refine)
        self._press()

    def _press(self) -> None:
        for name, button in self._range_buttons.items():
            button.props["aria-pressed"] = "true" if name == self._range else "false"
            button.update()

    def _values_card(self, state: TwinState) -> None:
        outputs, inputs = self._definition.fields(), self._definition.inputs
        with _card("Now"):
            self._outputs = LiveValues("Results", [item_of(name, out) for name, out in outputs.items()], state.outputs)
            with ui.element("details").classes("ts-details"):
                text(f"{len(inputs)} inputs as the device sent them", "summary")
                self._inputs = LiveValues("Inputs", [item_of(name, one) for name, one in inputs.items()], state.inputs)

    async def follow(self) -> None:
        """Keep the page true until it is closed."""
        with self._services.feed.subscribe(self._type, self._twin) as subscription:
            self._take_events(self._desk.hub.events(self._type, self._twin))
            await self._read_history()
            await self._read_commands()
            rows: list[bytes | None] = []
            last_commands_s = self._services.clock.monotonic_s()

            def see(_type: str, _twin: str, row: bytes | None) -> None:
                rows.append(row)

            while not subscription.closing:
                if await subscription.wait(_QUIET_S):
                    frames = subscription.take(see)
                    self._take_rows(rows)
                    rows.clear()
                    self._take_frames(frames)
                now_s = self._services.clock.monotonic_s()
                if self._commands_due and now_s - last_commands_s >= _COMMANDS_EVERY_S:
                    last_commands_s = now_s
                    await self._read_commands()
                await asyncio.sleep(_PAUSE_S)
        tell("Live updates ended. Load the page again.", bad=True)

    def _take_rows(self, rows: list[bytes | None]) -> None:
        if not rows or rows[-1] is None:
            return
        state = self._services.states.read(self._type, rows[-1])
        if state is None:
            return
        self._status.show(state.status)
        self._heard.show(state.event_time_ns or None)
        self._outputs.show(state.outputs)
        self._inputs.show(state.inputs)
        self._parameters.show(state.parameters)
        if self._curves is not None:
            given = {**state.inputs, **state.outputs}
            values = {name: _number(given.get(name)) for name in self._fields}
            self._curves.append(state.event_time_ns / 1e6, values)

    def _take_frames(self, frames: bytes) -> None:
        events = []
        for name, data in told(frames):
            if name == "event":
                events.append(data)
            # Every command, and every event that tells of one, may have changed the list.
            self._commands_due = True
        if events:
            self._take_events(events)

    def _take_events(self, events: list[dict[str, Any]]) -> None:
        kept = [event for event in events if not event["name"].startswith("command_")]
        self._events = [*self._events, *kept][-_EVENTS:]
        self._event_table.show([self._event_row(event) for event in reversed(self._events)])
        if self._curves is not None and kept:
            self._curves.show_marks(
                [
                    {
                        "id": f"{event['id']}/{event['name']}",
                        "time_ms": event["event_time_ns"] / 1e6,
                        "name": event["name"].replace("_", " "),
                        "severity": event["severity"],
                        "text": event["name"].replace("_", " "),
                    }
                    for event in kept
                ]
            )

    def _event_row(self, event: dict[str, Any]) -> dict[str, Any]:
        units = {name: shown(self._definition.unit_of(name)) for name in event["data"]}
        return {
            "key": f"{event['id']}/{event['name']}",
            "severity": event["severity"],
            "name": event["name"].replace("_", " "),
            "time": str(event["event_time_ns"]),
            "data": [
                {"name": name.replace("_", " "), "value": value, "unit": units[name]}
                for name, value in event["data"].items()
                if not isinstance(value, dict | list) and name != "id"
            ],
        }

    async def _read_history(self) -> None:
        if self._curves is None:
            return
        span_s = history.RANGES[self._range]
        points = await self._stretch(*self._shown())
        self._curves.show(points, span_ms=span_s * 1000)

    def _shown(self) -> tuple[int | None, int]:
        """Where the chosen stretch begins, None for at the first point, and ends, both inclusive."""
        span_s = history.RANGES[self._range]
        state = self._services.states.twin(self._type, self._twin)
        stop_ns = state.event_time_ns if state and state.event_time_ns else self._services.clock.now_ns()
        return (stop_ns - span_s * 10**9 if span_s else None), stop_ns

    async def _export(self, suffix: str) -> None:
        try:
            content = await exported(self._desk, self._type, self._twin, self._fields, *self._shown(), suffix)
        except (StoreUnavailableError, SetupError) as error:
            tell(f"The history can't be exported now: {error}", bad=True)
            return
        ui.download.content(content, f"{self._twin}{suffix}")

    async def _refine(self, event: Any) -> None:  # noqa: ANN401 - of NiceGUI
        """Somebody looks closer at a part."""
        start_ms, stop_ms = event.args.get("start_ms"), event.args.get("stop_ms")
        if self._curves is None or event.args.get("all") or not (_is_time(start_ms) and _is_time(stop_ms)):
            return
        start_ns, stop_ns = int(start_ms * 1e6), int(stop_ms * 1e6)
        if start_ns < stop_ns:
            self._curves.refine(await self._stretch(start_ns, stop_ns), start_ms, stop_ms)

    async def _stretch(self, start_ns: int | None, stop_ns: int) -> dict[str, history.Points]:
        try:
            return await history.stretch(self._desk, self._type, self._twin, self._fields, start_ns, stop_ns)
        except StoreUnavailableError as error:
            tell(f"The history can't be read now ({error}). New points appear as they come.", bad=True)
            return {}

    async def _look_back(self, name: str) -> None:
        self._range = name
        self._press()
        await self._read_history()

    async def _read_commands(self) -> None:
        self._commands_due = False
        try:
            async with asyncio.timeout(5):
                found = await self._services.documents.list(
                    Collection.COMMANDS, type_name=self._type, twin=self._twin, limit=_COMMANDS
                )
        except (StoreUnavailableError, TimeoutError):
            self._command_table.show_empty("The commands can't be read now: the document store does not answer.")
            return
        self._command_table.show([self._command_row(document) for document in found.items])

    def _command_row(self, document: dict[str, Any]) -> dict[str, Any]:
        declared = self._definition.outputs.commands.get(document["name"])
        since = max(document.get(name) or 0 for name in COMMAND_TIMES)
        return {
            "key": document["id"],
            "status": document["status"],
            "name": document["name"].replace("_", " "),
            "value": _command_value(document["value"], shown(declared.unit) if declared else ""),
            "issued": str(document["issued_ns"]),
            "since": str(since) if since else "",
            "reason": document.get("reason") or "",
        }

    async def _change(self, values: dict[str, Any]) -> asking.Outcome:
        return await asking.change_parameters(self._services, self._desk.caller, self._type, self._twin, values)

    async def _request(self, name: str, arguments: dict[str, Any]) -> asking.Outcome:
        return await asking.request(self._services, self._desk.caller, self._type, self._twin, name, arguments)


def _card(title: str) -> ui.element:
    with ui.element("section").classes("ts-card") as card:
        card.props["aria-label"] = title
        text(title, "h2", "ts-h2")
    return card


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LATEST_MS


def _command_value(value: object, unit: str) -> object:
    if isinstance(value, bool):
        return "on" if value else "off"
    return {"value": value, "unit": unit}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, bool | int | float) else None
