"""`/deadletters`: what could not be used, why, and once more with it."""

import asyncio
from typing import Any

import msgspec
from nicegui import ui
from nicegui.client import Client
from starlette.requests import Request

from infra.access.grants import Scope
from infra.console.asking import Outcome
from infra.console.desk import Desk, desk_of
from infra.console.dialogs import confirmed
from infra.console.elements import DataTable, Row, text
from infra.console.letter_actions import remove, send_again
from infra.console.letter_dialog import look_at
from infra.console.sender import forbid, lacking, told_why
from infra.console.shell import live, page
from infra.http.letters import Entry, Place, Selection
from schemas.reasons import Reason

_PAGE = 50
_EVERY_S = 1.0
_COLUMNS = (
    {"key": "reason", "label": "Reason", "header": True},
    {"key": "type", "label": "Type"},
    {"key": "twin", "label": "Twin", "kind": "link"},
    {"key": "detail", "label": "What was wrong", "wide": True},
    {"key": "received", "label": "Arrived", "kind": "time"},
    {"key": "redriven", "label": "Sent again", "narrow": True},
    {"key": "size", "label": "Size", "kind": "number", "narrow": True},
    {"key": "actions", "label": "Actions", "kind": "actions"},
)
_NONE = "No dead letters: every record could be used. What can't be used appears here with the reason."
_NOT_FOUND = "No dead letter fits. Choose another type or reason."


@ui.page("/deadletters")
async def deadletters(request: Request, client: Client, type: str = "", reason: str = "") -> None:  # noqa: A002
    """The page."""
    desk = desk_of(request)
    with page("Dead letters", "/deadletters"):
        view = _View(desk, type, reason if reason in set(Reason) else "")
    live(client, view.follow)


class _View:
    """The open page of one viewer."""

    def __init__(self, desk: Desk, type_name: str, reason: str) -> None:
        self._desk = desk
        self._selection = Selection(type=type_name, reason=reason)
        self._befores: list[Place | None] = [None]
        self._entries: list[Entry] = []
        self._chosen: list[str] = []
        self._shown: tuple[int, list[bytes]] | None = None
        with ui.element("div").classes("ts-titlebar"):
            text("Dead letters", "h1", "ts-h1")
            self._number = text("", "p", "ts-muted")
            self._number.props["aria-live"] = "polite"
        counts = desk.services.dead_letters.counts
        types = sorted({name for name, _ in counts if name} | set(desk.services.catalogue.types()) | {type_name} - {""})
        with ui.element("div").classes("ts-filters"):
            _choice("Type", {"": "All types", **{name: name for name in types}}, type_name, self._of_type)
            reasons = {"": "All reasons", **{one.value: one.value.replace("_", " ") for one in Reason}}
            _choice("Reason", reasons, reason, self._of_reason)
            with ui.element("div").classes("ts-form ts-right"):
                self._again = _button("Send again all that fit", self._redrive)
                self._purge = _button("Remove all that fit", self._remove, "ts-danger")
        self._no_again = lacking(desk.caller, Scope.DEPLOY)
        self._no_purge = lacking(desk.caller, Scope.ADMIN)
        for what, refused in (("Send again", self._no_again), ("Remove", self._no_purge)):
            told_why(refused and f"{what}: {refused}")
        forbid(self._again, self._no_again)
        forbid(self._purge, self._no_purge)
        self._said = text("", "p", "ts-outcome")
        self._said.props["role"] = "status"
        self._table = DataTable("Dead letters", _COLUMNS, empty=_NONE, selectable=True)
        self._table.on("select", self._select)
        self._table.on("action", self._look)
        with ui.element("div").classes("ts-pager") as self._pager:
            self._back = _button("Newer", lambda _: self._turn(-1))
            self._on = _button("Older", lambda _: self._turn(1))
        self.refresh()

    async def follow(self) -> None:
        """Keep the page true until it is closed."""
        while True:
            await asyncio.sleep(_EVERY_S)
            self.refresh()

    def refresh(self) -> None:
        """Show what is now."""
        letters = self._desk.services.dead_letters
        number = letters.number(self._selection)
        entries = letters.newest(self._selection, after=self._befores[-1], limit=_PAGE + 1)
        seen = number, [entry.shown() for entry in entries]
        if seen == self._shown:
            return
        self._shown = seen
        self._entries = entries[:_PAGE]
        rows = [_row(entry, self._desk) for entry in self._entries]
        self._table.show_empty(_NOT_FOUND if self._selection.type or self._selection.reason else _NONE)
        self._table.show(rows)
        self._number.set_text(f"{number:,} letter{'' if number == 1 else 's'}".replace(",", "\u202f"))
        _able(self._back, on=len(self._befores) > 1)
        _able(self._on, on=len(entries) > _PAGE)
        self._pager.set_visibility(len(self._befores) > 1 or len(entries) > _PAGE)
        _able(self._again, on=number > 0 and not self._no_again)
        _able(self._purge, on=number > 0 and not self._no_purge)

    def _of_type(self, event: Any) -> None:  # noqa: ANN401 - of NiceGUI
        self._select_other(Selection(type=event.value, reason=self._selection.reason))

    def _of_reason(self, event: Any) -> None:  # noqa: ANN401 - of NiceGUI
        self._select_other(Selection(type=self._selection.type, reason=event.value))

    def _select_other(self, selection: Selection) -> None:
        self._selection, self._befores = selection, [None]
        self._table.run_method("clear")
        self.refresh()

    def _turn(self, by: int) -> None:
        if by > 0 and self._entries:
            self._befores.append(self._entries[-1].place)
        elif by < 0 and len(self._befores) > 1:
            self._befores.pop()
        self._table.run_method("clear")
        self.refresh()

    def _select(self, event: Any) -> None:  # noqa: ANN401 - of NiceGUI
        self._chosen = [str(key) for key in event.args][:_PAGE]
        number = len(self._chosen)
        for button, verb in ((self._again, "Send again"), (self._purge, "Remove")):
            button.props["innerText"] = f"{verb} {number} selected" if number else f"{verb} all that fit"
            button.update()

    def _wanted(self) -> Selection:
        return Selection(ids=tuple(self._chosen)) if self._chosen else self._selection

    async def _redrive(self, _: object) -> None:
        wanted = self._wanted()
        number = self._desk.services.dead_letters.number(wanted)
        question = f"Send {number} dead letter{'' if number == 1 else 's'} to the twins once more?"
        if not await confirmed(question, "Send again"):
            return
        self._say(Outcome("open", "Sending…"))
        services, caller = self._desk.services, self._desk.caller
        self._say(await send_again(services, caller, wanted, refused_again=bool(self._chosen)))
        self._table.run_method("clear")
        self.refresh()

    async def _remove(self, _: object) -> None:
        wanted = self._wanted()
        number = self._desk.services.dead_letters.number(wanted)
        question = (
            f"Remove {number} dead letter{'' if number == 1 else 's'} for good? They are never shown or sent again."
        )
        if not await confirmed(question, "Remove"):
            return
        self._say(await remove(self._desk.services, self._desk.caller, wanted))
        self._table.run_method("clear")
        self.refresh()

    async def _look(self, event: Any) -> None:  # noqa: ANN401 - of NiceGUI
        entry = next((one for one in self._entries if one.letter().id == event.args["key"]), None)
        if entry is not None:
            await look_at(entry)

    def _say(self, outcome: Outcome) -> None:
        self._said.set_text(outcome.words)
        self._said.props["data-kind"] = outcome.kind
        self._said.update()


def _row(entry: Entry, desk: Desk) -> Row:
    letter = entry.letter()
    redriven = msgspec.json.decode(entry.redriven) if entry.redriven else None
    known = desk.services.states.raw(letter.type, letter.twin) is not None
    return {
        "key": letter.id,
        "label": f"letter {letter.id[:8]}",
        "reason": letter.reason.replace("_", " "),
        "type": letter.type,
        "twin": {"text": letter.twin, "href": f"/twins/{letter.type}/{letter.twin}"} if known else None,
        "detail": letter.detail,
        "received": str(letter.received_ns),
        "redriven": redriven["outcome"].replace("_", " ") if redriven else "",
        "size": {"value": letter.size, "unit": "B"},
        "actions": [{"name": "look", "label": "Look"}],
    }


def _choice(label: str, options: dict[str, str], value: str, changed: Any) -> None:  # noqa: ANN401 - a handler
    ui.select(options, label=label, value=value if value in options else "", on_change=changed).props(
        "dense outlined options-dense"
    ).classes("ts-choice")


def _button(label: str, action: Any, classes: str = "") -> ui.element:  # noqa: ANN401 - what NiceGUI takes
    button = ui.element("button").classes(f"ts-button {classes}")
    button.props.update({"type": "button", "innerText": label})
    button.on("click", action)
    return button


def _able(button: ui.element, *, on: bool) -> None:
    if button.props.get("disabled") is on or "disabled" not in button.props:
        button.props["disabled"] = not on
        button.update()
