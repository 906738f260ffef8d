"""The rows of the fleet's table."""

from typing import Any

from infra.console.elements import Row
from infra.console.glance import Glance
from infra.console.units import shown
from infra.http.services import Services
from schemas.definition import Definition

_READINGS = 3
"""Values that are shown of a twin."""


def row_of(services: Services, twin: Glance) -> Row:
    """What the fleet's table shows of a twin."""
    deployed = services.catalogue.get(twin.type)
    state = services.states.twin(twin.type, twin.id)
    values = state.outputs if state else {}
    return {
        "key": f"{twin.type}/{twin.id}",
        "id": {"text": twin.id, "href": f"/twins/{twin.type}/{twin.id}"},
        "type": {"text": twin.type, "href": f"/types/{twin.type}"},
        "status": twin.status,
        "readings": _readings(deployed.definition, values) if deployed else [],
        "tags": [f"{name}={value}" for name, value in sorted(twin.tags.items())],
        "event_time_ns": str(twin.event_time_ns) if twin.event_time_ns else "",
    }


def _readings(definition: Definition, values: dict[str, Any]) -> list[dict[str, Any]]:
    fields = definition.fields()
    chosen = [name for name in definition.outputs.timeseries.fields if name in fields] or list(fields)
    return [
        {
            "name": name.replace("_", " "),
            "value": values.get(name),
            "unit": shown(fields[name].unit),
            "hint": fields[name].description,
        }
        for name in chosen[:_READINGS]
    ]
