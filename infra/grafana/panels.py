"""Parts of a board in Grafana's JSON model (schema version 39, of Grafana 10 and newer): panels, places, variables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

COLUMNS = 24
"""A board is so many units wide."""
SCHEMA_VERSION = 39
PROMETHEUS = {"type": "prometheus", "uid": "metrics"}
INFLUXDB = {"type": "influxdb", "uid": "timeseries"}
_STATUS_COLOURS = {"ok": "green", "stale": "yellow", "drifting": "orange", "quarantined": "red"}

_UNITS = {
    "degC": "celsius",
    "degF": "fahrenheit",
    "kelvin": "kelvin",
    "K": "kelvin",
    "W": "watt",
    "kW": "kwatt",
    "J": "joule",
    "V": "volt",
    "A": "amp",
    "Hz": "hertz",
    "s": "s",
    "ms": "ms",
    "Pa": "pressurepa",
    "kPa": "pressurekpa",
    "bar": "pressurebar",
    "m": "lengthm",
    "mm": "lengthmm",
    "m/s": "velocityms",
    "g": "massg",
    "kg": "masskg",
    "rpm": "rotrpm",
    "percent": "percent",
    "N": "forceN",
}


def unit_of(unit: str) -> str:
    """Grafana's name of a unit of ours; one that it does not know is shown behind the number."""
    if not unit or unit in {"1", "dimensionless"}:
        return "none"
    return _UNITS.get(unit, f"suffix: {unit.removeprefix('delta_').replace('**', '^').replace('degC', '°C')}")


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel without its place.

    Attributes:
        kind: Grafana's name of the panel.
        queries: Queries, as `flux` and `prometheus` make them.
        width: Of `COLUMNS`.
        height: In units of 30 pixels.
    """

    title: str
    kind: str
    queries: tuple[dict[str, Any], ...]
    width: int = 12
    height: int = 8
    unit: str = "none"
    description: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    custom: dict[str, Any] = field(default_factory=dict)
    overrides: tuple[dict[str, Any], ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)
    transformations: tuple[dict[str, Any], ...] = ()

    def model(self, number: int, x: int, y: int) -> dict[str, Any]:
        """As Grafana stores it."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": self.queries[0]["datasource"],
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [query | {"refId": chr(ord("A") + at)} for at, query in enumerate(self.queries)],
            "fieldConfig": {
                "defaults": {"unit": self.unit, "custom": self.custom} | self.defaults,
                "overrides": list(self.overrides),
            },
            "options": self.options,
            "transformations": list(self.transformations),
        }


def flux(query: str) -> dict[str, Any]:
    """A query of the time-series store."""
    return {"datasource": INFLUXDB, "query": query}


def prometheus(expression: str, legend: str = "", *, instant: bool = False) -> dict[str, Any]:
    """A query of the metrics."""
    found = {"datasource": PROMETHEUS, "expr": expression, "legendFormat": legend or "__auto"}
    return found | ({"instant": True, "format": "table"} if instant else {"range": True})


def curves(title: str, *queries: dict[str, Any], unit: str = "none", **more: Any) -> Panel:  # noqa: ANN401
    """Lines over time."""
    lines = {"lineWidth": 1, "fillOpacity": 5, "showPoints": "never", "spanNulls": False}
    options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return Panel(title, "timeseries", queries, unit=unit, custom=lines, options=options, **more)


def number(title: str, *queries: dict[str, Any], unit: str = "none", **more: Any) -> Panel:  # noqa: ANN401
    """The latest values, large."""
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"}
    return Panel(title, "stat", queries, unit=unit, options=options, **{"width": 6, "height": 4} | more)


def states(title: str, *queries: dict[str, Any], **more: Any) -> Panel:  # noqa: ANN401
    """What was true when, as bars over time."""
    named = {"0": {"text": "no", "color": "transparent"}, "1": {"text": "yes", "color": "orange"}}
    defaults = {"mappings": [{"type": "value", "options": named}]}
    options = {"showValue": "never", "legend": {"showLegend": False}}
    return Panel(title, "state-timeline", queries, options=options, defaults=defaults, **more)


def table(title: str, *queries: dict[str, Any], **more: Any) -> Panel:  # noqa: ANN401
    """Rows and columns."""
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}
    return Panel(title, "table", queries, options=options, **{"width": COLUMNS, "height": 10} | more)


def coloured_by_status(panel: Panel) -> Panel:
    """The same with a colour for each status."""
    overrides = tuple(
        {
            "matcher": {"id": "byName", "options": status},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for status, colour in _STATUS_COLOURS.items()
    )
    return replace(panel, overrides=overrides)


def laid_out(panels: Iterable[Panel]) -> list[dict[str, Any]]:
    """Panels from left to right, and on the next line where one has no room."""
    found: list[dict[str, Any]] = []
    x = y = line = 0
    for at, panel in enumerate(panels, start=1):
        if x + panel.width > COLUMNS:
            x, y, line = 0, y + line, 0
        found.append(panel.model(at, x, y))
        x, line = x + panel.width, max(line, panel.height)
    return found


def variable(name: str, label: str, query: str | dict[str, Any], source: dict[str, str]) -> dict[str, Any]:
    """A choice above the board, of what a query finds."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": source,
        "query": query,
        "definition": query if isinstance(query, str) else query["query"],
        "refresh": 2,  # whenever the time range changes, so that new twins are found
        "sort": 5,
        "multi": False,
        "includeAll": False,
        "current": {},
        "options": [],
    }


def board(
    uid: str,
    title: str,
    panels: Sequence[Panel],
    *,
    tags: Sequence[str] = (),
    variables: Sequence[dict[str, Any]] = (),
    annotations: Sequence[dict[str, Any]] = (),
    refresh: str = "5s",
    since: str = "now-15m",
) -> dict[str, Any]:
    """A whole board."""
    return {
        "uid": uid,
        "title": title,
        "tags": ["twinstream", *tags],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one cross-hair through all panels
        "refresh": refresh,
        "timezone": "browser",
        "time": {"from": since, "to": "now"},
        "templating": {"list": list(variables)},
        "annotations": {"list": list(annotations)},
        "links": [{"type": "dashboards", "tags": ["twinstream"], "title": "twinstream", "asDropdown": True}],
        "panels": laid_out(panels),
    }
