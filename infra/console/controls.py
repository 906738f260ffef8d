"""Cards of a twin's page on which somebody changes it or asks something of it."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from infra.console.asking import Outcome, value_of
from infra.console.dialogs import confirmed
from infra.console.elements import card, text
from infra.console.fields import Control, control, entered, set_value
from schemas.definition import Definition, Request
from schemas.quantity import Scalar
from twins.layout import TwinState

_RESET = "Reset this twin? Its steps forget what they know and begin anew; parameters and tags stay."

Change = Callable[[dict[str, Any]], Awaitable[Outcome]]
Ask = Callable[[str, dict[str, Any]], Awaitable[Outcome]]


def requests_card(definition: Definition, state: TwinState, ask: Ask) -> None:
    """A form for each request that the type takes.

    Args:
        definition: Of the type.
        state: Of the twin, for what the forms begin with.
        ask: Sends one, and tells what became of it.
    """
    declared = {name: definition.request(name) for name in [*definition.requests, "reset", "release"]}
    with card("Requests"):
        for name, request in declared.items():
            if request is not None:
                _request_form(name, request, state, ask)


def _request_form(name: str, request: Request, state: TwinState, ask: Ask) -> None:
    title = name.replace("_", " ")
    own = next(iter(request.arguments), "")
    single = len(request.arguments) <= 1
    with ui.element("div" if single else "details").classes("ts-request") as form:
        if not request.arguments:
            form.classes("ts-bare")
        form.props.update({"role": "group", "aria-label": f"Request {title}"})
        text(title, "h3" if single else "summary", "ts-h3")
        text(request.description, "p", "ts-muted ts-small-text")
        with ui.element("div").classes("ts-form"):
            controls: dict[str, Control] = {}
            for argument, declared in request.arguments.items():
                present = state.parameters.get(request.sets.get(argument, argument))
                controls[argument] = control(argument, declared, present)
            send = Sender("Send", f"Send request {title}")

        async def submit() -> Outcome | None:
            if name == "reset" and not await confirmed(_RESET, "Reset"):
                return None
            arguments = {
                argument: value_of(request.arguments[argument], entered(one))
                for argument, one in controls.items()
                if entered(one) not in {None, ""} or request.arguments[argument].required
            }
            return await ask(name, arguments)

        send.does(submit)
        if len(controls) == 1 and own:
            controls[own].on("keydown.enter", send.press)


class ParametersCard:
    """The parameters with their bounds and units, and a button that applies what was changed.

    Args:
        definition: Of the type.
        state: Of the twin, for what the controls begin with.
        change: Applies values, and tells what became of it.
    """

    def __init__(self, definition: Definition, state: TwinState, change: Change) -> None:
        self._declared = definition.parameters
        self._present = dict(state.parameters)
        self._change = change
        self._controls: dict[str, Control] = {}
        with card("Parameters"):
            if not self._declared:
                text("This type declares no parameters.", "p", "ts-nothing")
                return
            with ui.element("div").classes("ts-form ts-parameters"):
                for name, declared in self._declared.items():
                    self._controls[name] = control(name, declared, self._present.get(name))
                    if declared.description:
                        self._controls[name].props["title"] = declared.description
            with ui.element("div").classes("ts-form"):
                self._send = Sender("Apply changes", "Apply changed parameters", primary=True)
                self._undo = ui.element("button").classes("ts-button")
                self._undo.props.update({"type": "button", "innerText": "Undo"})
        for one in self._controls.values():
            one.on_value_change(self._mark)
        self._undo.on("click", self._restore)
        self._send.does(self._submit)
        self._mark()

    def show(self, values: dict[str, Scalar]) -> None:
        """Show other values where nobody is changing them."""
        if not self._controls or values == self._present:
            return
        touched = self._changed()
        for name, value in values.items():
            if name in self._controls and name not in touched and value != self._present.get(name):
                set_value(self._controls[name], value)
        self._present.update(values)
        self._mark()

    def _changed(self) -> dict[str, Any]:
        given = {name: value_of(self._declared[name], entered(one)) for name, one in self._controls.items()}
        return {name: value for name, value in given.items() if value != self._present.get(name)}

    def _mark(self, _: object = None) -> None:
        number = len(self._changed())
        self._send.enable(on=number > 0)
        self._send.label(f"Apply {number} change{'s' if number > 1 else ''}" if number else "No changes")
        self._undo.set_visibility(number > 0)

    async def _submit(self) -> Outcome:
        values = self._changed()
        outcome = await self._change(values)
        if outcome.kind == "done":
            self._present.update(values)
        self._mark()
        return outcome

    def _restore(self, _: object = None) -> None:
        for name, one in self._controls.items():
            set_value(one, self._present.get(name))
        self._mark()


class Sender:
    """A button that does one thing at a time and says what became of it."""

    def __init__(self, label: str, spoken: str, *, primary: bool = False) -> None:
        self._label = label
        self._work: Callable[[], Awaitable[Outcome | None]] | None = None
        self._busy = False
        self._button = ui.element("button").classes("ts-button ts-primary" if primary else "ts-button")
        self._button.props.update({"type": "button", "innerText": label, "aria-label": spoken})
        self._button.on("click", self.press)
        self._said = text("", "p", "ts-outcome")
        self._said.props["role"] = "status"
        self._said.set_visibility(False)

    def does(self, work: Callable[[], Awaitable[Outcome | None]]) -> None:
        """What a press starts."""
        self._work = work

    def enable(self, *, on: bool) -> None:
        """Whether it can be pressed."""
        if self._button.props.get("disabled") is on or "disabled" not in self._button.props:
            self._button.props["disabled"] = not on
            self._button.update()

    def label(self, words: str) -> None:
        """Write something else on it."""
        if words != self._label:
            self._label = words
            self._button.props.update({"innerText": words, "aria-label": words})
            self._button.update()

    async def press(self, _: object = None) -> None:
        """Do it, unless it is being done."""
        if self._busy or self._work is None:
            return
        self._busy = True
        self._say(Outcome("open", "Sent, waiting for an answer…"))
        try:
            outcome = await self._work()
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
