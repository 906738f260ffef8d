"""`/`: every twin at a glance."""

import asyncio
from dataclasses import replace
from typing import Any, get_args
from urllib.parse import urlencode

from nicegui import ui
from nicegui.client import Client
from starlette.requests import Request

from infra.console.desk import Desk, desk_of
from infra.console.elements import DataTable, text
from infra.console.fleet_index import PAGE_ROWS, STATUSES, Query, SortKey
from infra.console.fleet_rows import row_of
from infra.console.shell import live, page

_REFRESH_S = 1.0
_TYPING_S = 0.25

_COLUMNS = (
    {"key": "status", "label": "Status", "kind": "status", "sortable": True},
    {"key": "id", "label": "Twin", "kind": "link", "sortable": True, "header": True},
    {"key": "type", "label": "Type", "kind": "link", "sortable": True, "narrow": True},
    {"key": "readings", "label": "Latest values", "kind": "readings", "wide": True},
    {"key": "tags", "label": "Tags", "kind": "chips", "narrow": True},
    {"key": "event_time_ns", "label": "Last record", "kind": "ago", "sortable": True},
)
_NO_TWINS = (
    "No twin yet. A twin appears with the first telemetry of its device: send some by hand under “Try it”, or connect a"
    " device to the MQTT broker. Types come first: see “Types”."
)
_NOT_FOUND = "No twin fits. Clear the search or choose another status."


@ui.page("/")
async def fleet(
    request: Request,
    client: Client,
    q: str = "",
    type: str = "",  # noqa: A002 - as in the address
    tag: str = "",
    status: str = "",
    sort: str = "type",
    descending: bool = False,  # noqa: FBT001, FBT002 - as in the address
    number: int = 1,
) -> None:
    """The page."""
    query = Query(
        text=q[:100],
        type=type,
        tag=tag[:400],
        status=status if status in STATUSES else "",
        sort=_sort_key(sort),
        descending=descending,
        page=max(1, number),
    )
    desk = desk_of(request)
    with page("Fleet", "/"):
        view = _View(desk, query)
        with desk.hub.watching():
            await view.refresh()
    live(client, view.follow)


def _sort_key(given: str) -> SortKey:
    known: tuple[SortKey, ...] = get_args(SortKey)
    return next((key for key in known if key == given), "type")


class _View:
    """The open page of one viewer."""

    def __init__(self, desk: Desk, query: Query) -> None:
        self._desk = desk
        self._query = query
        self._seen = -1
        self._asked = asyncio.Event()
        self._counts: dict[str, ui.element] = {}
        self._buttons: dict[str, ui.element] = {}
        with ui.element("div").classes("ts-titlebar"):
            text("Fleet", "h1", "ts-h1")
            self._summary = text("", "p", "ts-muted")
            self._summary.props["aria-live"] = "polite"
        self._health()
        self._filters()
        self._table = DataTable("Twins", _COLUMNS, sort=query.sort, descending=query.descending, empty=_NO_TWINS)
        self._table.classes("ts-fleet")
        self._table.on("sort", self._sort)
        with ui.element("div").classes("ts-pager") as self._pager:
            self._back = _button("Previous", lambda: self._turn(-1))
            self._place = text("", "span", "ts-muted ts-number")
            self._on = _button("Next", lambda: self._turn(1))

    async def follow(self) -> None:
        """Keep the page true."""
        client = ui.context.client
        with self._desk.hub.watching():
            while True:
                try:
                    async with asyncio.timeout(_REFRESH_S):
                        await self._asked.wait()
                except TimeoutError:
                    pass
                else:
                    await asyncio.sleep(_TYPING_S)
                    self._seen = -1
                self._asked.clear()
                # One that was closed is kept for a while, since it may come back.
                if client.has_socket_connection:
                    await self.refresh()

    async def refresh(self) -> None:
        """Show what is now."""
        index = await self._desk.hub.index()
        if index.version == self._seen:
            return
        self._seen = index.version
        found = index.page(self._query)
        self._query = replace(self._query, page=found.page)
        self._table.show([row_of(self._desk.services, twin) for twin in found.twins])
        self._table.show_empty(_NOT_FOUND if len(index) else self._nothing())
        everyone = sum(found.counts.values())
        searched = self._query.text or self._query.type or self._query.tag
        _say(self._all, "that fit" if searched else "all twins")
        for status, count in {"": everyone, **found.counts}.items():
            _say(self._counts[status], f"{count:,}".replace(",", "\u202f"))
        _say(self._summary, f"{len(index):,} twins of {_several(len(index.types()), 'type')}".replace(",", "\u202f"))
        first = (found.page - 1) * PAGE_ROWS + 1
        _say(self._place, f"{first} to {first + len(found.twins) - 1} of {found.found} twins" if found.found else "")
        _enable(self._back, on=found.page > 1)
        _enable(self._on, on=found.page < found.pages)
        self._pager.set_visibility(found.pages > 1)

    def _nothing(self) -> str:
        loading = self._desk.services.loading()
        return f"Reading the log: {loading}. The twins appear in a moment." if loading else _NO_TWINS

    def _health(self) -> None:
        with ui.element("div").classes("ts-health") as group:
            group.props.update({"role": "group", "aria-label": "Twins by status"})
            for status in ("", *STATUSES):
                with ui.element("button").classes("ts-tile") as tile:
                    tile.props["type"] = "button"
                    self._buttons[status] = tile
                    self._counts[status] = text("0", "span", "ts-count")
                    label = text(status or "all twins", "span", "ts-status" if status else "ts-muted")
                    if status:
                        label.props["data-status"] = status
                    else:
                        self._all = label
                tile.on("click", lambda _, status=status: self._ask(status=status))
        self._press()

    def _press(self) -> None:
        for status, tile in self._buttons.items():
            tile.props["aria-pressed"] = "true" if status == self._query.status else "false"
            tile.update()

    def _filters(self) -> None:
        types = sorted(self._desk.services.catalogue.types())
        with ui.element("div").classes("ts-filters"):
            search = ui.input("Search twin or tag", value=self._query.text).props("dense outlined clearable")
            search.classes("ts-search").on_value_change(lambda event: self._ask(text=(event.value or "")[:100]))
            choice = {"": "All types", **{name: name for name in types}}
            ui.select(
                choice,
                label="Type",
                value=self._query.type if self._query.type in types else "",
                on_change=lambda event: self._ask(type=event.value),
            ).props("dense outlined options-dense").classes("ts-choice")
            ui.input("Tag, as name or name=value", value=self._query.tag).props("dense outlined clearable").classes(
                "ts-search"
            ).on_value_change(lambda event: self._ask(tag=(event.value or "").strip()[:400]))

    def _ask(self, **changes: Any) -> None:  # noqa: ANN401 - fields of a query
        self._query = replace(self._query, page=1, **changes)
        self._changed()

    def _sort(self, event: Any) -> None:  # noqa: ANN401 - of NiceGUI
        key = _sort_key(str(event.args))
        self._ask(sort=key, descending=key == self._query.sort and not self._query.descending)
        self._table.sorted_by(key, descending=self._query.descending)

    def _turn(self, pages: int) -> None:
        self._query = replace(self._query, page=max(1, self._query.page + pages))
        self._changed()

    def _changed(self) -> None:
        self._press()
        ui.navigate.history.replace(_address(self._query))
        self._asked.set()


def _address(query: Query) -> str:
    given = {"q": query.text, "type": query.type, "tag": query.tag, "status": query.status}
    if query.sort != "type" or query.descending:
        given |= {"sort": query.sort, "descending": "true" if query.descending else ""}
    if query.page > 1:
        given["number"] = str(query.page)
    kept = {name: value for name, value in given.items() if value}
    return f"/?{urlencode(kept)}" if kept else "/"


def _several(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _button(label: str, action: Any) -> ui.element:  # noqa: ANN401 - what NiceGUI takes as a handler
    button = ui.element("button").classes("ts-button")
    button.props.update({"type": "button", "innerText": label})
    button.on("click", action)
    return button


def _enable(button: ui.element, *, on: bool) -> None:
    if button.props.get("disabled") is on or "disabled" not in button.props:
        button.props["disabled"] = not on
        button.update()


def _say(label: Any, words: str) -> None:  # noqa: ANN401 - a label
    if label.text != words:
        label.set_text(words)
