"""What a plot shows of one field, whatever it is drawn with."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from infra.authoring.curve import Curve
from schemas.definition import Definition

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MARGIN = 0.05
_FLAT = 1e-9
"""What varies by less than this share of itself is drawn as constant."""
_LARGEST, _SMALLEST = 1e300, 1e-300
"""Axes beyond are no numbers any more."""
_LETTERS = 10
"""That stand beside an axis."""
_SPANS = ((2 * 86400, "d", 86400), (2 * 3600, "h", 3600), (2 * 60, "min", 60))


@dataclass(frozen=True, slots=True)
class Panel:
    """One field over time.

    Attributes:
        title: Its name, with its unit.
        times_ns: UTC nanoseconds of the n points of its line, at least one.
        values: Of these points.
        low: Lower end of the axis, below every value.
        high: Upper end.
        marks: What stands at the axis: values and how they are written, from below.
    """

    title: str
    times_ns: list[int]
    values: list[float]
    low: float
    high: float
    marks: list[tuple[float, str]]


def panels_of(definition: Definition, curves: Mapping[str, Curve]) -> list[Panel]:
    """A panel for each stored field that has values, in the definition's order."""
    types: dict[str, str] = {name: declared.type for name, declared in definition.inputs.items()}
    types |= {name: declared.type for name, declared in definition.fields().items()}
    machines = [step for step in definition.pipeline if step.step == "state_machine"]
    states = {name: list(step.config["states"]) for step in machines for name in list(step.outputs)[:1]}
    panels = []
    for name in definition.outputs.timeseries.fields:
        if name in curves:
            unit = definition.unit_of(name)
            panels.append(_panel(f"{name} [{unit}]" if unit else name, types[name], curves[name], states.get(name, [])))
    return panels


def _panel(title: str, kind: str, curve: Curve, states: list[str]) -> Panel:
    times_ns, values = curve.points()
    if kind != "float":
        times_ns, values = _steps(times_ns, values)
    if kind == "bool":
        return Panel(title, times_ns, values, -_MARGIN, 1.0 + _MARGIN, [(0.0, "false"), (1.0, "true")])
    values = [min(max(value, -_LARGEST), _LARGEST) for value in values]
    low, high = min(values), max(values)
    if states:
        marks = [(float(state), name[:_LETTERS]) for state, name in enumerate(states) if low <= state <= high]
        margin = _MARGIN * max(high - low, 1.0)
        return Panel(title, times_ns, values, low - margin, high + margin, marks)
    if high - low <= max(_FLAT * abs(high), _SMALLEST):
        margin = max(abs(high) / 2, _SMALLEST) if high else 1.0
        return Panel(title, times_ns, values, low - margin, high + margin, [(low, f"{low:.10g}")])
    margin = _MARGIN * (high - low)
    marks = marks_between(low, high, whole=kind == "int")
    return Panel(title, times_ns, values, low - margin, high + margin, marks)


def _steps(times_ns: list[int], values: list[float]) -> tuple[list[int], list[float]]:
    """A line that keeps each value until the next one."""
    stepped_ns, stepped = times_ns[:1], values[:1]
    for (before, value), next_ns in zip(pairwise(values), times_ns[1:], strict=True):
        stepped_ns += [next_ns, next_ns]
        stepped += [before, value]
    return stepped_ns, stepped


def marks_between(low: float, high: float, *, whole: bool = False) -> list[tuple[float, str]]:
    """Two to six round numbers from `low` to `high`, which differ, and how they are written."""
    rough = (high - low) / 3.0
    scale = 10.0 ** math.floor(math.log10(rough))
    step = scale * max(factor for factor in (1, 2, 5) if factor * scale <= rough * (1 + _FLAT))
    step = max(step, 1.0) if whole else step
    decimals = max(0, -math.floor(math.log10(step) + _FLAT))
    numbers = range(math.ceil(low / step - _FLAT), math.floor(high / step + _FLAT) + 1)
    return [(number * step, _written(number * step, decimals)) for number in numbers]


def _written(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}" if value else "0"
    return text if len(text) <= _LETTERS else f"{value:.6g}"


def utc(time_ns: int) -> str:
    """A time as people read it, to the second."""
    return (_EPOCH + timedelta(microseconds=time_ns // 1000)).strftime("%Y-%m-%d %H:%M:%S")


def unit_for(span_s: float) -> tuple[str, float]:
    """The unit in which a span of time reads well, and the seconds it has."""
    return next(((unit, seconds) for least_s, unit, seconds in _SPANS if span_s >= least_s), ("s", 1.0))
