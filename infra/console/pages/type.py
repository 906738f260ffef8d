"""`/types/{type}`: what a type declares, its pipeline, and its versions."""

import asyncio
from typing import TYPE_CHECKING, Any

from nicegui import ui
from nicegui.client import Client
from starlette.requests import Request

from infra.console.asking import bounds_of
from infra.console.deploy_card import DeployCard
from infra.console.desk import Desk, desk_of
from infra.console.elements import DataTable, Moment, Row, card, text
from infra.console.pipeline_drawing import drawing
from infra.console.pipeline_graph import nodes_of
from infra.console.shell import live, page
from infra.console.units import shown
from infra.console.versions import VersionsCard
from infra.http.rows import Deployed
from schemas.definition import Definition
from schemas.quantity import Quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVERY_S = 1.0
_AROUND = 82
"""Pixels of a wide window that a card's content can't have."""
_NAME = {"key": "name", "label": "Name", "header": True}
_QUANTITIES = (
    _NAME,
    {"key": "type", "label": "Kind"},
    {"key": "unit", "label": "Unit"},
    {"key": "bounds", "label": "Permitted"},
    {"key": "default", "label": "Default", "kind": "number"},
    {"key": "description", "label": "What it is", "wide": True},
)
_STEPS = (
    _NAME,
    {"key": "step", "label": "Function", "kind": "code"},
    {"key": "outputs", "label": "Gives", "kind": "chips", "wide": True},
    {"key": "runs", "label": "Runs on"},
)
_OUTPUTS = (
    _NAME,
    {"key": "kind", "label": "Kind"},
    {"key": "when", "label": "Of", "kind": "code"},
    {"key": "more", "label": "More", "wide": True},
)


@ui.page("/types/{type_name:path}")
async def type_page(request: Request, client: Client, type_name: str) -> None:
    """The page."""
    desk = desk_of(request)
    found = desk.services.catalogue.get(type_name)
    with page(type_name, "/types"):
        if found is None:
            client.status_code = 404
            text(type_name, "h1", "ts-h1")
            loading = desk.services.loading()
            words = f"The log is still being read: {loading}." if loading else f"No type {type_name} is deployed."
            text(f"{words} “Types” lists what there is, and takes new ones.", "p", "ts-nothing")
            ui.link("All types", "/types").classes("ts-link")
            return
        versions = _show(desk, type_name, found)

    async def follow() -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            versions.refresh()
            if desk.services.catalogue.get(type_name) is None:
                continue
            present = desk.services.catalogue.get(type_name)
            if present is not None and present.deployment.hash != found.deployment.hash:
                ui.navigate.reload()
                return

    live(client, follow)


def _show(desk: Desk, type_name: str, found: Deployed) -> VersionsCard:
    definition = found.definition
    with ui.element("div").classes("ts-titlebar"):
        text(type_name, "h1", "ts-h1")
        with ui.element("span").classes("ts-muted ts-facts"):
            text(f"version {definition.version}")
            with ui.element("span"):
                text("in force since ")
                Moment(found.deployment.time_ns)
            count = desk.services.states.count(type_name)
            ui.link(f"{count} twin{'' if count == 1 else 's'}", f"/?type={type_name}").classes("ts-link")
            ui.link("Send telemetry by hand", f"/try?type={type_name}").classes("ts-link")
    if definition.description:
        text(definition.description.strip(), "p", "ts-muted ts-lead")
    with card("Pipeline"):
        files: Mapping[str, bytes] = getattr(getattr(found, "bundle", None), "files", {})
        picture = drawing(nodes_of(definition, files), f"Pipeline of {type_name}")
        # Said only where the window is narrower than the drawing.
        fits = f"@media (min-width: {picture.wide + _AROUND}px) {{ .ts-scrolls {{ display: none }} }}"
        ui.html(f"<style>{fits}</style>", sanitize=False)
        text("Wider than the window: scroll it sideways.", "p", "ts-scrolls")
        with ui.element("div").classes("ts-graph-box") as box:
            box.props.update({"tabindex": "0", "role": "group", "aria-label": "Drawing of the pipeline"})
            ui.html(picture.svg, sanitize=False)
        text("Solid: of the same record. Dashed: of the record before.", "p", "ts-muted ts-small-text")
    with ui.element("div").classes("ts-pair ts-below-table"):
        with ui.element("div").classes("ts-main"):
            _table("Inputs", _QUANTITIES, [_quantity(*one) for one in definition.inputs.items()], without=("default",))
            _table("Steps", _STEPS, _steps(definition), empty="The type has no steps: it keeps its inputs.")
            _table("Outputs", _OUTPUTS, _outputs(definition), empty="The type gives nothing to anybody yet.")
        with ui.element("div").classes("ts-main"):
            versions = VersionsCard(desk, type_name)
            DeployCard(desk)
            parameters = [_quantity(*one) for one in definition.parameters.items()]
            _table("Parameters", _QUANTITIES, parameters, empty="The type declares no parameters.")
    return versions


def _table(
    title: str, columns: tuple[dict[str, Any], ...], rows: list[Row], *, empty: str = "", without: tuple[str, ...] = ()
) -> None:
    with card(title):
        DataTable(title, [column for column in columns if column["key"] not in without], rows, empty=empty)


def _quantity(name: str, declared: Quantity) -> Row:
    unit = shown(declared.unit)
    default = getattr(declared, "default", None)
    return {
        "key": name,
        "name": name,
        "type": declared.type,
        "unit": unit or ("one" if declared.type in {"float", "int"} else ""),
        "bounds": ", ".join(declared.choices) or bounds_of(declared) or "any",
        "default": {"value": default, "unit": unit},
        "description": declared.description,
    }


def _steps(definition: Definition) -> list[Row]:
    return [
        {
            "key": step.name,
            "name": step.name,
            "step": step.step,
            "outputs": [
                f"{name} ({shown(given.unit)})" if shown(given.unit) else name for name, given in step.outputs.items()
            ],
            "runs": {"both": "records and ticks"}.get(step.runs_on, step.runs_on),
        }
        for step in definition.pipeline
    ]


def _outputs(definition: Definition) -> list[Row]:
    outputs = definition.outputs
    rows: list[Row] = []
    for name in outputs.timeseries.fields:
        unit = shown(definition.unit_of(name))
        rows.append({"key": f"t/{name}", "name": name, "kind": "time series", "when": name, "more": unit})
    for name, event in outputs.events.items():
        more = f"{event.severity}, {event.edge}"
        rows.append({"key": f"e/{name}", "name": name, "kind": "event", "when": str(event.when), "more": more})
    for name, command in outputs.commands.items():
        more = f"{shown(command.unit)} lives {command.expires_s:g} s".strip()
        rows.append({"key": f"c/{name}", "name": name, "kind": "command", "when": command.field, "more": more})
    return rows
