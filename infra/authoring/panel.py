"""What a plot shows of one field, whatever it is drawn with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from infra.authoring.curve import Curve
from schemas.definition import Definition

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MARGIN = 0.05
_SPANS = ((2 * 86400, "d", 86400), (2 * 3600, "h", 3600), (2 * 60, "min", 60))


@dataclass(frozen=True, slots=True)
class Panel:
    """One field over time.

    Attributes:
        title: Its name, with its unit.
        times_ns: UTC nanoseconds of n points, at least one.
        values: Of these points.
        low: Lower end of the axis, below every value.
        high: Upper end.
    """

    title: str
    times_ns: list[int]
    values: list[float]
    low: float
    high: float


def panels_of(definition: Definition, curves: Mapping[str, Curve]) -> list[Panel]:
    """A panel for each stored field that has values, in the definition's order."""
    panels = []
    for name in definition.outputs.timeseries.fields:
        if name not in curves:
            continue
        times_ns, values = curves[name].points()
        low, high = min(values), max(values)
        margin = _MARGIN * ((high - low) or abs(high) or 1.0)
        unit = definition.unit_of(name)
        panels.append(Panel(f"{name} [{unit}]" if unit else name, times_ns, values, low - margin, high + margin))
    return panels


def utc(time_ns: int) -> str:
    """A time as people read it, to the second."""
    return (_EPOCH + timedelta(microseconds=time_ns // 1000)).strftime("%Y-%m-%d %H:%M:%S")


def unit_for(span_s: float) -> tuple[str, float]:
    """The unit in which a span of time reads well, and the seconds it has."""
    return next(((unit, seconds) for least_s, unit, seconds in _SPANS if span_s >= least_s), ("s", 1.0))
