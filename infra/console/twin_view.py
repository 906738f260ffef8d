"""What the page of a twin shows, and how it goes on."""

import asyncio
from typing import Any

import msgspec
from nicegui import ui

from infra.access.grants import Scope
from infra.console import asking
from infra.console.controls import ParametersCard, RequestsCard
from infra.console.desk import Desk
from infra.console.elements import LiveValues, Moment, StatusMark, card, text
from infra.console.frames import told
from infra.console.happenings import CommandsCard, EventsCard
from infra.console.history_card import HistoryCard
from infra.console.panels import item_of
from infra.console.past_events import is_shown
from infra.console.sender import lacking
from infra.console.shell import tell
from infra.http.services import LogUnavailableError
from schemas.definition import Definition
from schemas.messages import Event
from twins.layout import TwinState

_PAUSE_S = 0.5
_COMMANDS_EVERY_S = 1.0
_QUIET_S = 30.0


class TwinView:
    """The open page of one viewer."""

    def __init__(self, desk: Desk, type_name: str, twin: str, definition: Definition, state: TwinState) -> None:
        self._desk = desk
        self._services = desk.services
        self._type = type_name
        self._twin = twin
        self._definition = definition
        self._commands_due = True
        refused = lacking(desk.caller, Scope.REQUEST)
        self._title(state)
        with ui.element("div").classes("ts-columns"):
            with ui.element("div").classes("ts-main"):
                self._history = HistoryCard(desk, type_name, twin, definition, self._read_past_events)
                with ui.element("div").classes("ts-pair"):
                    self._events = EventsCard(definition)
                    self._commands = CommandsCard(definition, self._services.documents, twin)
                self._parameters = ParametersCard(definition, state, self._change, refused)
            with ui.element("div").classes("ts-side"):
                self._values_card(state)
                self._requests = RequestsCard(definition, state, self._request, refused)

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

    def _values_card(self, state: TwinState) -> None:
        outputs, inputs = self._definition.fields(), self._definition.inputs
        with card("Now"):
            self._outputs = LiveValues("Results", [item_of(name, out) for name, out in outputs.items()], state.outputs)
            with ui.element("details").classes("ts-details"):
                text(f"{len(inputs)} inputs as the device sent them", "summary")
                self._inputs = LiveValues("Inputs", [item_of(name, one) for name, one in inputs.items()], state.inputs)

    async def follow(self) -> None:
        """Keep the page true until it is closed."""
        # Subscribed before anything is read, so that nothing is missed in between.
        with self._services.feed.subscribe(self._type, self._twin) as subscription:
            await self._history.read()
            await self._read_commands()
            await self._read_past_events()
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
        self._requests.show(state.parameters)
        self._history.append(state)

    def _take_frames(self, frames: bytes) -> None:
        events = []
        for name, data in told(frames):
            if name == "event":
                try:
                    events.append(msgspec.convert(data, Event))
                except msgspec.ValidationError:
                    continue  # no role of ours wrote it; the feed says so where it matters
            # Every command, and every event that tells of one, may have changed the list.
            self._commands_due = True
        self._take_events(events)

    def _take_events(self, events: list[Event]) -> None:
        kept = [event for event in events if is_shown(event)]
        if kept:
            self._events.take(kept)
            self._history.mark(kept)

    async def _read_past_events(self) -> None:
        """Show what happened in the stretch that is shown, also before the API was started."""
        since_ns, _ = self._history.shown()
        try:
            self._take_events(await self._desk.past_events(self._type, self._twin, since_ns))
        except LogUnavailableError as error:
            tell(f"Earlier events can't be read now ({error}). New ones appear as they come.", bad=True)

    async def _read_commands(self) -> None:
        self._commands_due = False
        await self._commands.read()

    async def _change(self, values: dict[str, Any]) -> asking.Outcome:
        return await asking.change_parameters(self._services, self._desk.caller, self._type, self._twin, values)

    async def _request(self, name: str, arguments: dict[str, Any]) -> asking.Outcome:
        return await asking.request(self._services, self._desk.caller, self._type, self._twin, name, arguments)
