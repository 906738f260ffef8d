"""Cards of a twin's page on which somebody changes it or asks something of it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import ui

from infra.console.asking import Outcome, value_of
from infra.console.dialogs import confirmed
from infra.console.elements import card, text
from infra.console.fields import Control, Followed, control, entered
from infra.console.sender import Sender, told_why
from schemas.definition import Definition, Request
from schemas.quantity import Scalar
from twins.layout import TwinState

_RESET = "Reset this twin? Its steps forget what they know and begin anew; parameters and tags stay."

Change = Callable[[dict[str, Any]], Awaitable[Outcome]]
Ask = Callable[[str, dict[str, Any]], Awaitable[Outcome]]


class RequestsCard:
    """A form for each request that the type takes.

    Args:
        definition: Of the type.
        state: Of the twin, for what the forms begin with.
        ask: Sends one, and tells what became of it.
        refused: Why this viewer may not, `""` for one who may.
    """

    def __init__(self, definition: Definition, state: TwinState, ask: Ask, refused: str = "") -> None:
        self._ask = ask
        self._refused = refused
        self._followed: list[tuple[str, Followed]] = []
        declared = {name: definition.request(name) for name in [*definition.requests, "reset", "release"]}
        with card("Requests"):
            told_why(refused)
            for name, request in declared.items():
                if request is not None:
                    self._form(name, request, state.parameters)

    def show(self, parameters: Mapping[str, Scalar]) -> None:
        """Show the parameters that are in force now where nobody is writing something else."""
        for name, field in self._followed:
            if name in parameters:
                field.follow(parameters[name])

    def _form(self, name: str, request: Request, parameters: Mapping[str, Scalar]) -> None:
        title = name.replace("_", " ")
        single = len(request.arguments) <= 1
        set_by = {argument: parameter for parameter, argument in request.sets.items()}
        with ui.element("div" if single else "details").classes("ts-request") as form:
            if not request.arguments:
                form.classes("ts-bare")
            form.props.update({"role": "group", "aria-label": f"Request {title}"})
            text(title, "h3" if single else "summary", "ts-h3")
            text(request.description, "p", "ts-muted ts-small-text")
            with ui.element("div").classes("ts-form"):
                controls: dict[str, Control] = {}
                for argument, declared in request.arguments.items():
                    parameter = set_by.get(argument, argument)
                    present = parameters.get(parameter)
                    controls[argument] = control(argument, declared, present)
                    self._followed.append((parameter, Followed(controls[argument], declared, present)))
                send = Sender("Send", f"Send request {title}", refused=self._refused)

            async def submit() -> Outcome | None:
                if name == "reset" and not await confirmed(_RESET, "Reset"):
                    return None
                arguments = {
                    argument: value_of(request.arguments[argument], entered(one))
                    for argument, one in controls.items()
                    if entered(one) not in {None, ""} or request.arguments[argument].required
                }
                return await self._ask(name, arguments)

            send.does(submit)
            if len(controls) == 1:
                next(iter(controls.values())).on("keydown.enter", send.press)


class ParametersCard:
    """The parameters with their bounds and units, and a button that applies what was changed.

    Args:
        definition: Of the type.
        state: Of the twin, for what the controls begin with.
        change: Applies values, and tells what became of it.
        refused: Why this viewer may not, `""` for one who may.
    """

    def __init__(self, definition: Definition, state: TwinState, change: Change, refused: str = "") -> None:
        self._change = change
        self._fields: dict[str, Followed] = {}
        with card("Parameters"):
            if not definition.parameters:
                text("This type declares no parameters.", "p", "ts-nothing")
                return
            told_why(refused)
            with ui.element("div").classes("ts-form ts-parameters"):
                for name, declared in definition.parameters.items():
                    present = state.parameters.get(name)
                    one = control(name, declared, present)
                    self._fields[name] = Followed(one, declared, present)
                    if declared.description:
                        one.props["title"] = declared.description
            with ui.element("div").classes("ts-form"):
                self._send = Sender("Apply changes", "Apply changed parameters", primary=True, refused=refused)
                self._undo = ui.element("button").classes("ts-button")
                self._undo.props.update({"type": "button", "innerText": "Undo"})
        for field in self._fields.values():
            field.control.on_value_change(self._mark)
        self._undo.on("click", self._restore)
        self._send.does(self._submit)
        self._mark()

    def show(self, values: Mapping[str, Scalar]) -> None:
        """Show other values where nobody is changing them."""
        others = {
            name: value
            for name, value in values.items()
            if name in self._fields and self._fields[name].present != value
        }
        for name, value in others.items():
            self._fields[name].follow(value)
        if others:
            self._mark()

    def _changed(self) -> dict[str, Any]:
        return {name: field.given() for name, field in self._fields.items() if field.is_edited()}

    def _mark(self, _: object = None) -> None:
        number = len(self._changed())
        self._send.enable(on=number > 0)
        self._send.label(f"Apply {number} change{'s' if number > 1 else ''}" if number else "No changes")
        self._undo.set_visibility(number > 0)

    async def _submit(self) -> Outcome:
        values = self._changed()
        before = {name: self._fields[name].present for name in values}
        outcome = await self._change(values)
        if outcome.kind == "done":
            for name, value in values.items():
                # Somebody else's later value may be there already.
                if self._fields[name].present == before[name]:
                    self._fields[name].present = value
        self._mark()
        return outcome

    def _restore(self, _: object = None) -> None:
        for field in self._fields.values():
            field.restore()
        self._mark()
