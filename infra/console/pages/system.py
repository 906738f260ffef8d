"""`/system`: roles, topics, the loss account and what all roles say, alive."""

import asyncio
from typing import Any

from nicegui import ui
from nicegui.client import Client
from starlette.requests import Request

from infra.console.desk import Desk, desk_of
from infra.console.elements import DataTable, Row, card, text
from infra.console.log_lines import LEVELS
from infra.console.shell import live, page
from infra.status import RoleStatus

_LOOK_S = 3.0
_PAUSE_S = 0.5
_LINES = 200
_ROLES = (
    {"key": "status", "label": "Status", "kind": "status"},
    {"key": "name", "label": "Role", "header": True},
    {"key": "lag", "label": "Lag", "kind": "number"},
    {"key": "restarts", "label": "Restarts", "kind": "number", "narrow": True},
    {"key": "started", "label": "Since", "kind": "time", "narrow": True},
    {"key": "pid", "label": "Process", "kind": "code", "narrow": True},
    {"key": "detail", "label": "Detail", "wide": True},
)
_TOPICS = (
    {"key": "name", "label": "Topic", "header": True},
    {"key": "rate", "label": "Written", "kind": "number"},
    {"key": "records", "label": "So far", "kind": "number"},
    {"key": "partitions", "label": "Partitions", "kind": "number", "narrow": True},
)
_ACCOUNT: tuple[dict[str, Any], ...] = (
    {"key": "type", "label": "Type", "header": True},
    {"key": "source", "label": "From"},
    *(
        {"key": name, "label": label, "kind": "number", "narrow": narrow}
        for name, label, narrow in (
            ("expected", "Expected", False),
            ("received", "Received", False),
            ("duplicate", "Duplicate", True),
            ("late", "Late", True),
            ("deadlettered", "Dead letters", True),
            ("missing", "Missing", False),
        )
    ),
)
_LOGS = (
    {"key": "time", "label": "Time", "kind": "time"},
    {"key": "level", "label": "Level", "kind": "status"},
    {"key": "role", "label": "Role"},
    {"key": "text", "label": "What happened", "wide": True},
)


@ui.page("/system")
async def system(request: Request, client: Client) -> None:
    """The page."""
    desk = desk_of(request)
    with page("System", "/system"):
        view = _View(desk)
    live(client, view.follow)


class _View:
    """The open page of one viewer."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._role, self._level, self._words = "", "info", ""
        self._lines_seen: tuple[int, str, str, str] = (-1, "", "", "")
        self._topics_seen = -1
        with ui.element("div").classes("ts-titlebar"):
            text("System", "h1", "ts-h1")
            self._summary = text("Asking all roles\N{HORIZONTAL ELLIPSIS}", "p", "ts-muted")
        with ui.element("div").classes("ts-pair"):
            with ui.element("div").classes("ts-main"), card("Roles"):
                self._roles = DataTable("Roles", _ROLES, empty="The roles are being asked.")
            with ui.element("div").classes("ts-main"):
                with card("Loss account, records since the beginning"):
                    self._account = DataTable(
                        "Loss account in records, since the beginning", _ACCOUNT, empty=_NO_ACCOUNT
                    )
                with card("Topics"):
                    self._topics = DataTable("Topics", _TOPICS, empty="Kafka is being asked.")
        with ui.element("div").classes("ts-below-table"), card("Logs"):
            with ui.element("div").classes("ts-filters"):
                levels = {name: f"{name} and worse" for name in LEVELS[:4]}
                ui.select(levels, label="Level", value="info", on_change=self._of_level).props(
                    "dense outlined options-dense"
                ).classes("ts-choice")
                self._role_choice = ui.select({"": "All roles"}, label="Role", value="", on_change=self._of_role)
                self._role_choice.props("dense outlined options-dense").classes("ts-choice")
                ui.input("Search in what happened", on_change=self._of_words).props("dense outlined clearable").classes(
                    "ts-search"
                )
            with ui.element("div").classes("ts-log") as box:
                box.props.update({"tabindex": "0", "role": "group", "aria-label": "Log lines, the latest first"})
                self._lines = DataTable("Log lines, the latest first", _LOGS, empty="No line fits.")

    async def follow(self) -> None:
        """Keep the page true until it is closed."""
        client = ui.context.client
        looking = asyncio.create_task(self._look())
        try:
            with self._desk.topics.watching():
                while True:
                    if client.has_socket_connection:
                        self._show_lines()
                        self._show_topics()
                    if looking.done():
                        looking.result()
                    await asyncio.sleep(_PAUSE_S)
        finally:
            looking.cancel()

    async def _look(self) -> None:
        """Ask the roles, one round after the other."""
        while True:
            status = await self._desk.services.status()
            self._roles.show(_role_row(role) for role in status.roles)
            down = [role.name for role in status.roles if not role.ready]
            words = "every role is ready" if not down else f"not ready: {', '.join(down)}"
            self._summary.set_text(f"{len(status.roles)} roles, {words}" if status.roles else "No role is known here.")
            names = {"": "All roles", **{role.name: role.name for role in status.roles}}
            if names != self._role_choice.options:
                self._role_choice.set_options(names)
            self._account.show(_account_row(row) for row in self._desk.services.accounts.rows())
            await asyncio.sleep(_LOOK_S)

    def _show_topics(self) -> None:
        watch = self._desk.topics
        if watch.version == self._topics_seen:
            return
        self._topics_seen = watch.version
        if watch.fault:
            self._topics.show_empty(f"Kafka does not answer: {watch.fault}. It is asked again every 2 s.")
            self._topics.show([])
            return
        self._topics.show(
            {
                "key": topic.name,
                "name": topic.name,
                "partitions": topic.partitions,
                "records": {"value": topic.records, "unit": "records"},
                "rate": {"value": None if topic.per_s is None else round(topic.per_s, 1), "unit": "records/s"},
            }
            for topic in sorted(watch.topics, key=lambda topic: (-(topic.per_s or 0.0), topic.name))
        )

    def _show_lines(self) -> None:
        logs = self._desk.logs
        seen = logs.version, self._role, self._level, self._words
        if seen == self._lines_seen:
            return
        self._lines_seen = seen
        lines = logs.newest(_LINES, role=self._role, level=self._level, words=self._words)
        self._lines.show(reversed(lines))

    def _of_level(self, event: Any) -> None:  # noqa: ANN401 - of NiceGUI
        self._level = event.value

    def _of_role(self, event: Any) -> None:  # noqa: ANN401 - of NiceGUI
        self._role = event.value or ""

    def _of_words(self, event: Any) -> None:  # noqa: ANN401 - of NiceGUI
        self._words = (event.value or "")[:100]


_NO_ACCOUNT = "Nothing was received yet. The account shows what devices sent, what came, and what is missing."


def _role_row(role: RoleStatus) -> Row:
    return {
        "key": f"{role.name}/{role.pid}",
        "status": "ready" if role.ready else "waiting" if role.up else "down",
        "name": role.name,
        "lag": None if role.lag is None else {"value": role.lag, "unit": "records"},
        "restarts": {"value": role.restarts, "unit": "times"},
        "started": str(role.started_ns) if role.started_ns else "",
        "pid": str(role.pid or ""),
        "detail": role.detail,
    }


def _account_row(row: dict[str, Any]) -> Row:
    figures = {name: {"value": value, "unit": ""} for name, value in row.items() if isinstance(value, int)}
    return {**row, **figures, "key": f"{row['type']}/{row['source']}"}
