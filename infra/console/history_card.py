"""The card with a twin's curves: how much of them is shown, closer looks, files of them, marks of events."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from nicegui import ui

from connectors.stores import StoreUnavailableError
from infra.console import exporting, history
from infra.console.desk import Desk
from infra.console.elements import Curves, card, text
from infra.console.panels import panels_of
from infra.console.shell import tell
from schemas.clock import NS_PER_S
from schemas.definition import Definition
from schemas.errors import SetupError
from schemas.messages import Event
from twins.layout import TwinState

_FIRST_RANGE = "30 min"
_LATEST_MS = 9e12
"""Of what a page may ask for; the store's times end a little later."""


class HistoryCard:
    """The curves of one twin.

    Args:
        desk: What pages work with.
        type_name: Of the twin.
        twin: Whose.
        definition: Of the type.
        ranged: Called after another length of the history was chosen and shown.
    """

    def __init__(
        self, desk: Desk, type_name: str, twin: str, definition: Definition, ranged: Callable[[], Awaitable[None]]
    ) -> None:
        self._desk = desk
        self._services = desk.services
        self._type = type_name
        self._twin = twin
        self._ranged = ranged
        self._range = _FIRST_RANGE
        self._curves: Curves | None = None
        panels = panels_of(definition)
        self._fields = [name for panel in panels for name in (s["field"] for s in panel["series"])]
        with card("History") as element:
            element.classes("ts-history")
            if not panels:
                words = "This type stores no time series. Name fields under outputs.timeseries.fields to see curves."
                text(words, "p", "ts-nothing")
                return
            self._buttons()
            self._curves = Curves(panels, label=f"Curves of {twin}")
            self._curves.on("zoom", self._refine)
        self._press()

    def _buttons(self) -> None:
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

    def _press(self) -> None:
        for name, button in self._range_buttons.items():
            button.props["aria-pressed"] = "true" if name == self._range else "false"
            button.update()

    def shown(self) -> tuple[int | None, int]:
        """Where the chosen stretch begins, None for at the first point, and ends, both inclusive, UTC nanoseconds."""
        span_s = history.RANGES[self._range]
        state = self._services.states.twin(self._type, self._twin)
        stop_ns = state.event_time_ns if state and state.event_time_ns else self._services.clock.now_ns()
        return (stop_ns - span_s * 10**9 if span_s else None), stop_ns

    async def read(self) -> None:
        """Show the chosen stretch as it is stored."""
        if self._curves is None:
            return
        span_s = history.RANGES[self._range]
        points = await self._stretch(*self.shown())
        self._curves.show(points, span_ms=span_s * 1000)

    def append(self, state: TwinState) -> None:
        """Add a point to each curve."""
        if self._curves is not None:
            given = {**state.inputs, **state.outputs}
            values = {name: _number(given.get(name)) for name in self._fields}
            self._curves.append(state.event_time_ns / 1e6, values)

    def mark(self, events: Iterable[Event]) -> None:
        """Mark events on the curves; one that is marked already stays as it is."""
        if self._curves is None:
            return
        marks = []
        for event in events:
            name = event.name.replace("_", " ")
            marks.append(
                {
                    "id": f"{event.id}/{event.name}",
                    "time_ms": event.event_time_ns / 1e6,
                    "name": name,
                    "severity": event.severity,
                    "text": name,
                }
            )
        if marks:
            self._curves.show_marks(marks)

    async def _export(self, suffix: str) -> None:
        try:
            file = await exporting.exported(self._desk, self._type, self._twin, self._fields, *self.shown(), suffix)
        except (StoreUnavailableError, SetupError) as error:
            tell(f"The history can't be exported now: {error}", bad=True)
            return
        ui.download.content(file.content, f"{self._twin}{suffix}")
        if file.whole_until_ns is not None:
            until = datetime.fromtimestamp(file.whole_until_ns // NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            tell(
                f"The file holds the first {exporting.MOST_POINTS:,} points of each field and is whole until {until}."
                f" The command “twinstream export {self._type} {self._twin} FILE” writes all.",
                bad=True,
            )

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
        await self.read()
        await self._ranged()


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LATEST_MS


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, bool | int | float) else None
