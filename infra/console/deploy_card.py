"""The card on which a type's folder or zip is dropped, with all that is wrong with it."""

from pathlib import Path

from nicegui import ui

from infra.access.grants import Scope
from infra.console.deploying import WHO, RefusedError, deploy_files
from infra.console.desk import Desk
from infra.console.elements import DataTable, text
from infra.console.receiving import DropZone
from infra.console.sender import lacking, told_why
from infra.http.auditing import acting
from infra.http.problems import ProblemError
from schemas.bundle import BUNDLE_LIMIT_BYTES

_PROBLEM_COLUMNS = (
    {"key": "place", "label": "Where", "kind": "code", "header": True},
    {"key": "message", "label": "Problem", "wide": True},
    {"key": "remedy", "label": "What to do", "wide": True},
)


class DeployCard:
    """Takes files and deploys them, one after the other.

    Args:
        desk: What pages work with.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        with ui.element("section").classes("ts-card") as card:
            card.props["aria-label"] = "Deploy"
            text("Deploy", "h2", "ts-h2")
            refused = lacking(desk.caller, Scope.DEPLOY)
            told_why(refused)
            DropZone(
                "Drop a twin type's folder, or a zip of one. It is checked and compiled first; nothing changes if it"
                " has faults.",
                "Choose a zip",
                self._received,
                accept=".zip",
                folders=True,
                limit_bytes=BUNDLE_LIMIT_BYTES,
                refused=refused,
            )
            self._said = text("", "p", "ts-outcome")
            self._said.props["role"] = "status"
            self._notes = text("", "p", "ts-outcome")
            self._problems = DataTable("Problems", _PROBLEM_COLUMNS)
            self._problems.set_visibility(False)

    async def _received(self, folder: Path, files: list[Path]) -> None:
        self._problems.set_visibility(False)
        self._notes.set_text("")
        self._say("open", "Received. Checking…")
        try:
            names = [str(file.relative_to(folder)) for file in files]
            async with acting(self._desk.services, self._desk.caller, Scope.DEPLOY, "deploy", "", "", {"files": names}):
                deployment, notes = await deploy_files(
                    self._desk.settings,
                    folder,
                    files,
                    lambda words: self._say("open", f"{words.capitalize()}…"),
                    self._desk.caller.name or WHO,
                )
        except ProblemError as error:
            self._say("refused", error.detail)
            return
        except RefusedError as error:
            self._say("refused", str(error))
            self._problems.show(
                {
                    "key": str(number),
                    "place": f"{one['file']}:{one['line']} {one['path']}".strip(),
                    "message": one["message"],
                    "remedy": one["remedy"],
                }
                for number, one in enumerate(error.problems)
            )
            self._problems.set_visibility(bool(error.problems))
            return
        self._say("done", f"{deployment.type} {deployment.version} is in force.")
        self._notes.set_text(" ".join(f"Note: {note}." for note in notes))

    def _say(self, kind: str, words: str) -> None:
        self._said.set_text(words)
        self._said.props["data-kind"] = kind
        self._said.update()
