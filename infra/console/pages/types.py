"""`/types`: what is deployed, and where more is dropped."""

import asyncio

from nicegui import ui
from nicegui.client import Client
from starlette.requests import Request

from infra.console.deploy_card import DeployCard
from infra.console.desk import Desk, desk_of
from infra.console.elements import DataTable, Row, text
from infra.console.shell import live, page

_EVERY_S = 1.0
_COLUMNS = (
    {"key": "type", "label": "Type", "kind": "link", "header": True},
    {"key": "version", "label": "Version"},
    {"key": "description", "label": "What it is", "wide": True},
    {"key": "twins", "label": "Twins", "kind": "number"},
    {"key": "deployed", "label": "In force since", "kind": "time"},
    {"key": "who", "label": "By", "narrow": True},
)
_NONE = "No type is deployed. Drop the folder of one below, such as examples/incubator of the repository."


@ui.page("/types")
async def types(request: Request, client: Client) -> None:
    """The page."""
    desk = desk_of(request)
    with page("Types", "/types"):
        with ui.element("div").classes("ts-titlebar"):
            text("Types", "h1", "ts-h1")
        table = DataTable("Deployed types", _COLUMNS, _rows(desk), empty=_NONE)
        with ui.element("div").classes("ts-below-table"):
            DeployCard(desk)

    async def follow() -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            table.show(_rows(desk))

    live(client, follow)


def _rows(desk: Desk) -> list[Row]:
    return [
        {
            "key": name,
            "type": {"text": name, "href": f"/types/{name}"},
            "version": found.definition.version,
            "description": found.definition.description.strip(),
            "twins": desk.services.states.count(name),
            "deployed": str(found.deployment.time_ns),
            "who": found.deployment.who,
        }
        for name, found in sorted(desk.services.catalogue.types().items())
    ]
