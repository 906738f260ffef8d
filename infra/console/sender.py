"""A button that does one thing at a time and says what became of it."""

from collections.abc import Awaitable, Callable

from nicegui import ui

from infra.access.caller import Caller
from infra.access.grants import Scope
from infra.console.asking import Outcome
from infra.console.elements import text


def lacking(caller: Caller, scope: Scope) -> str:
    """What keeps a viewer from something, in words; `""` when nothing does."""
    if caller.may(scope):
        return ""
    held = ", ".join(sorted(caller.scopes)) or "none"
    return f"This needs the scope {scope}; you have {held}."


def told_why(refused: str) -> None:
    """Say it where the buttons are; nothing when nothing is refused."""
    if refused:
        text(refused, "p", "ts-lacking")


def forbid(button: ui.element, refused: str) -> None:
    """Let nobody press a button, for a reason that is told on hover; nothing when nothing is refused."""
    if refused:
        button.props.update({"disabled": True, "title": refused})


class Sender:
    """A button that does one thing at a time and says what became of it.

    Args:
        label: What it says.
        spoken: What it says to who hears it without what stands around it.
        primary: Whether it is what one comes for.
        refused: Why this viewer can't press it, `""` for one who can.
    """

    def __init__(self, label: str, spoken: str, *, primary: bool = False, refused: str = "") -> None:
        self._label = label
        self._refused = refused
        self._work: Callable[[], Awaitable[Outcome | None]] | None = None
        self._busy = False
        self._button = ui.element("button").classes("ts-button ts-primary" if primary else "ts-button")
        self._button.props.update({"type": "button", "innerText": label, "aria-label": spoken})
        forbid(self._button, refused)
        self._button.on("click", self.press)
        self._said = text("", "p", "ts-outcome")
        self._said.props["role"] = "status"
        self._said.set_visibility(False)

    def does(self, work: Callable[[], Awaitable[Outcome | None]]) -> None:
        """What a press starts."""
        self._work = work

    def enable(self, *, on: bool) -> None:
        """Whether it can be pressed, by a viewer who may."""
        wanted = not on or bool(self._refused)
        if self._button.props.get("disabled") is not wanted:
            self._button.props["disabled"] = wanted
            self._button.update()

    def label(self, words: str) -> None:
        """Write something else on it."""
        if words != self._label:
            self._label = words
            self._button.props.update({"innerText": words, "aria-label": words})
            self._button.update()

    async def press(self, _: object = None) -> None:
        """Do it, unless it is being done."""
        if self._busy or self._refused or self._work is None:
            return
        self._busy = True
        self._say(Outcome("open", "Sent, waiting for an answer…"))
        try:
            outcome = await self._work()
            if self._said.is_deleted:
                return  # the page was left meanwhile
            if outcome is None:
                self._said.set_visibility(False)
            else:
                self._say(outcome)
        finally:
            self._busy = False

    def _say(self, outcome: Outcome) -> None:
        self._said.set_text(outcome.words)
        self._said.props["data-kind"] = outcome.kind
        self._said.set_visibility(True)
        self._said.update()
