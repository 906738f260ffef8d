"""`/twins/{type}/{id}`: one twin, alive."""

from nicegui import ui
from nicegui.client import Client
from starlette.requests import Request

from infra.console.desk import desk_of
from infra.console.elements import text
from infra.console.shell import live, page
from infra.console.twin_view import TwinView


@ui.page("/twins/{type_name:path}/{twin_id}")
async def twin(request: Request, client: Client, type_name: str, twin_id: str) -> None:
    """The page."""
    desk = desk_of(request)
    with page(twin_id, "/"):
        state = desk.services.states.twin(type_name, twin_id)
        deployed = desk.services.catalogue.get(type_name)
        if state is None or deployed is None:
            client.status_code = 404
            loading = desk.services.loading()
            text(twin_id, "h1", "ts-h1")
            if loading:
                text(f"The log is still being read: {loading}. Load this page again in a moment.", "p", "ts-nothing")
            else:
                words = f"There is no twin {twin_id} of type {type_name}. It appears with its first telemetry."
                text(words, "p", "ts-nothing")
            ui.link("All twins", "/").classes("ts-link")
            return
        view = TwinView(desk, type_name, twin_id, deployed.definition, state)
    live(client, view.follow)
