"""The card of a type's versions: what was in force when, and back to the one before."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiokafka.errors import KafkaError
from nicegui import ui

from infra.access.grants import Scope
from infra.console.deploying import WHO
from infra.console.desk import Desk
from infra.console.dialogs import confirmed
from infra.console.elements import DataTable, Row, text
from infra.console.sender import forbid, lacking, told_why
from infra.deployment.asking import NoAnswerError
from infra.deployment.deployer import rollback, undeploy
from infra.http.auditing import acting
from infra.http.problems import ProblemError
from schemas.errors import DefinitionError, SetupError

_COLUMNS = (
    {"key": "status", "label": "Status", "kind": "status"},
    {"key": "version", "label": "Version", "header": True},
    {"key": "time", "label": "Since", "kind": "time"},
    {"key": "who", "label": "By"},
    {"key": "hash", "label": "Content", "kind": "code", "narrow": True},
)
_MOST = 20
_TIMEOUT_S = 180.0


class VersionsCard:
    """What was in force, newest first.

    Args:
        desk: What pages work with.
        type_name: Whose versions.
    """

    def __init__(self, desk: Desk, type_name: str) -> None:
        self._desk = desk
        self._type = type_name
        self._busy = False
        with ui.element("section").classes("ts-card") as card:
            card.props["aria-label"] = "Versions"
            text("Versions", "h2", "ts-h2")
            self._refused = lacking(desk.caller, Scope.DEPLOY)
            told_why(self._refused)
            with ui.element("div").classes("ts-form ts-above-table"):
                self._back = _button("Back to the version before", self._roll_back)
                out = _button("Take out of force", self._take_out, "ts-danger")
                for button in (self._back, out):
                    forbid(button, self._refused)
                self._said = text("", "p", "ts-outcome")
                self._said.props["role"] = "status"
            self._table = DataTable("Versions", _COLUMNS, empty="It was never in force.")
        self._rows: list[Row] = []
        self.refresh()

    def refresh(self) -> None:
        """Show what was in force up to now."""
        catalogue = self._desk.services.catalogue
        current = catalogue.get(self._type)
        history = sorted(catalogue.history(self._type), key=lambda item: -item.time_ns)
        rows: list[Row] = [
            {
                "key": str(item.time_ns),
                "status": "in force" if current is not None and number == 0 else "earlier",
                "version": item.version,
                "time": str(item.time_ns),
                "who": item.who,
                "hash": item.hash[:12],
            }
            for number, item in enumerate(history[:_MOST])
        ]
        if rows != self._rows:
            self._rows = rows
            self._table.show(rows)
            several = len({item.hash for item in history}) > 1
            self._back.props["disabled"] = bool(self._refused) or not several
            self._back.update()

    async def _roll_back(self, _: object) -> None:
        question = f"Put the version of {self._type} that was in force before into force again? Twins keep their state."
        if await confirmed(question, "Go back"):
            await self._do(
                rollback(self._desk.settings, self._type, who=self._desk.caller.name or WHO),
                "Rolling back",
                "is in force again",
            )

    async def _take_out(self, _: object) -> None:
        question = (
            f"Take {self._type} out of force? Its telemetry becomes dead letters until it is deployed again; its topics"
            " and the state of its twins stay."
        )
        if await confirmed(question, "Take out of force"):
            await self._do(
                undeploy(self._desk.settings, self._type, who=self._desk.caller.name or WHO),
                "Undeploying",
                "is out of force",
            )

    async def _do(self, work: Coroutine[Any, Any, Any], doing: str, done: str) -> None:
        if self._busy:
            work.close()
            return
        self._busy = True
        self._say("open", f"{doing}…")
        try:
            async with (
                acting(self._desk.services, self._desk.caller, Scope.DEPLOY, doing.lower(), self._type, "", {}),
                asyncio.timeout(_TIMEOUT_S),
            ):
                deployment = await work
            self._say("done", f"{self._type} {deployment.version} {done}." if deployment else "It was out already.")
        except ProblemError as error:
            self._say("refused", error.detail)
        except TimeoutError:
            self._say("refused", f"not done within {_TIMEOUT_S:.0f} s; the log of the api role says more")
        except (DefinitionError, NoAnswerError, SetupError, KafkaError) as error:
            self._say("refused", str(error) or type(error).__name__)
        finally:
            work.close()
            self._busy = False
        self.refresh()

    def _say(self, kind: str, words: str) -> None:
        self._said.set_text(words)
        self._said.props["data-kind"] = kind
        self._said.update()


def _button(label: str, action: Any, classes: str = "") -> ui.element:  # noqa: ANN401 - what NiceGUI takes
    button = ui.element("button").classes(f"ts-button {classes}")
    button.props.update({"type": "button", "innerText": label})
    button.on("click", action)
    return button
