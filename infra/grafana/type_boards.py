"""Two boards of each twin type: all of its twins, and one of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from infra.grafana import flux as ask
from infra.grafana.panels import (
    COLUMNS,
    INFLUXDB,
    Panel,
    board,
    coloured_by_status,
    curves,
    flux,
    number,
    prometheus,
    states,
    table,
    unit_of,
    variable,
)
from schemas.definition import Definition

if TYPE_CHECKING:
    from schemas.quantity import Input
    from schemas.step import StepOutput

_LINES_TOGETHER = 6
"""More lines in one panel can't be told apart."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A field that becomes a time series."""

    name: str
    kind: str
    unit: str
    description: str


def fleet_board(definition: Definition) -> dict[str, Any]:
    """All twins of a type: how they are, what comes, and their fields."""
    name = str(definition.type_name)
    fields = _stored(definition)
    panels = [
        coloured_by_status(
            number(
                "Twins",
                prometheus(f'sum by (status) (twinstream_twins{{type="{name}"}})', "{{status}}"),
                width=12,
                description="Twins by status.",
            )
        ),
        number(
            "Records",
            prometheus(f'sum(rate(twinstream_records_total{{type="{name}"}}[1m]))', "records"),
            unit="reqps",
            description="Telemetry records per second.",
        ),
        number(
            "Missing",
            prometheus(f'sum(twinstream_missing_records{{type="{name}"}}) or vector(0)', "missing"),
            description="Records that devices sent, by their counters, and that have not come.",
        ),
        curves(
            "Records by outcome",
            prometheus(f'sum by (outcome) (rate(twinstream_records_total{{type="{name}"}}[1m]))', "{{outcome}}"),
            unit="reqps",
        ),
        curves(
            "Dead letters",
            prometheus(
                f'topk(5, sum by (reason) (increase(twinstream_deadletters_total{{type="{name}"}}[5m])))', "{{reason}}"
            ),
            description="Records of the last five minutes that could not be used, by the most frequent reasons.",
        ),
    ]
    panels += [_of_all(name, stored) for stored in fields]
    if fields:
        panels.append(_latest_table(name, fields))
    return board(f"twinstream-fleet-{name}", f"twinstream fleet: {name}", panels, tags=["fleet", name])


def _of_all(name: str, stored: _Stored) -> Panel:
    """A field of all twins together."""
    title, unit, functions = stored.name, unit_of(stored.unit), ["min", "mean", "max"]
    if stored.kind == "bool":
        title, unit, functions = f"{stored.name}: share of twins", "percentunit", ["mean"]
    queries = [flux(ask.over_all(name, stored.name, one)) for one in functions]
    return curves(title, *queries, unit=unit, width=8, height=6, description=stored.description)


def _latest_table(name: str, fields: list[_Stored]) -> Panel:
    link = {"title": "Show the twin", "url": f"/d/twinstream-twin-{name}?var-twin=${{__value.text}}"}
    overrides = [{"matcher": {"id": "byName", "options": "twin"}, "properties": [{"id": "links", "value": [link]}]}]
    overrides += [
        {
            "matcher": {"id": "byName", "options": stored.name},
            "properties": [{"id": "unit", "value": unit_of(stored.unit)}],
        }
        for stored in fields
    ]
    query = flux(ask.latest_of_all(name, [stored.name for stored in fields]))
    return table("Latest values", query, overrides=tuple(overrides))


def twin_board(definition: Definition) -> dict[str, Any]:
    """One twin of a type: its fields over time, those of one unit together, and its events as marks."""
    name = str(definition.type_name)
    fields = _stored(definition)
    numbers = [stored for stored in fields if stored.kind != "bool"]
    panels = [
        number(stored.name, flux(ask.latest(name, [stored.name])), unit=unit_of(stored.unit), width=4)
        for stored in numbers[: COLUMNS // 4]
    ]
    for unit, together in groupby(sorted(numbers, key=lambda one: _rank(one, numbers)), key=lambda one: one.unit):
        for some in _portions(list(together)):
            names = [stored.name for stored in some]
            panels.append(curves(", ".join(names), flux(ask.history(name, names)), unit=unit_of(unit), width=COLUMNS))
    switches = [stored.name for stored in fields if stored.kind == "bool"]
    if switches:
        panels.append(
            states("States", flux(ask.history(name, switches, "last")), width=COLUMNS, height=2 + 2 * len(switches))
        )
    query = ask.twins_of(name)
    twin = variable("twin", "Twin", {"query": query}, INFLUXDB)
    return board(
        f"twinstream-twin-{name}",
        f"twinstream twin: {name}",
        panels,
        tags=["twin", name],
        variables=[twin],
        annotations=list(_marks(definition, switches)),
    )


def _rank(stored: _Stored, numbers: list[_Stored]) -> int:
    """Fields of one unit stand together, where the first of them stands."""
    return [one.unit for one in numbers].index(stored.unit)


def _portions(fields: list[_Stored]) -> Iterator[list[_Stored]]:
    for first in range(0, len(fields), _LINES_TOGETHER):
        yield fields[first : first + _LINES_TOGETHER]


def _marks(definition: Definition, switches: list[str]) -> Iterator[dict[str, Any]]:
    """Events whose boolean field is stored."""
    name = str(definition.type_name)
    colours = {"info": "blue", "warning": "orange", "critical": "red"}
    for event, declared in definition.outputs.events.items():
        if declared.when not in switches or declared.edge == "each":
            continue
        yield {
            "name": event,
            "enable": True,
            "iconColor": colours[declared.severity],
            "datasource": INFLUXDB,
            "target": {"query": ask.edges(name, declared.when, event, rising=declared.edge != "falling")},
            "mappings": {"text": {"source": "field", "value": "text"}},
        }


def _stored(definition: Definition) -> list[_Stored]:
    declared: dict[str, Input | StepOutput] = {**definition.inputs, **definition.fields()}
    return [
        _Stored(name, declared[name].type, declared[name].unit, declared[name].description)
        for name in definition.outputs.timeseries.fields
    ]
