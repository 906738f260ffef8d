"""Panels as text for a terminal, in dots of Braille letters."""

from collections.abc import Sequence
from itertools import pairwise

from plotille import Canvas

from infra.authoring.panel import Panel, marks_between, unit_for, utc
from schemas.clock import NS_PER_S

_HEIGHT = 8
_LOW_HEIGHT = 3
"""Of a field that has a mark or two, such as a boolean."""
_AXIS_WIDTH = 10
_NARROWEST, _WIDEST = 30, 120


def as_text(panels: Sequence[Panel], columns: int) -> str:
    """One plot below the other, over a common time axis.

    Args:
        panels: At least one.
        columns: Width of the terminal in letters.
    """
    first_ns = min(panel.times_ns[0] for panel in panels)
    span_s = (max(panel.times_ns[-1] for panel in panels) - first_ns) / NS_PER_S
    unit, unit_s = unit_for(span_s)
    end = span_s / unit_s or 1.0
    width = min(max(columns - _AXIS_WIDTH - 4, _NARROWEST), _WIDEST)
    plots = [_plot(panel, first_ns, unit_s, end, width) for panel in panels]
    return "\n".join([*plots, *_time_axis(end, width), f"time in {unit} since {utc(first_ns)} UTC"])


def _plot(panel: Panel, first_ns: int, unit_s: float, end: float, width: int) -> str:
    height = _HEIGHT if len(panel.marks) > 2 else _LOW_HEIGHT  # noqa: PLR2004 - what two lines can show
    canvas = Canvas(width, height, xmin=0.0, xmax=end, ymin=panel.low, ymax=panel.high)
    times = [(time_ns - first_ns) / NS_PER_S / unit_s for time_ns in panel.times_ns]
    points = list(zip(times, panel.values, strict=True))
    for before, after in pairwise(points if len(points) > 1 else points * 2):
        canvas.line(*before, *after)
    marks = [""] * height
    for value, text in panel.marks:
        share = (panel.high - value) / (panel.high - panel.low)
        marks[min(int(share * height), height - 1)] = text
    lines = canvas.plot().splitlines()
    drawn = (f"{mark:>{_AXIS_WIDTH}} | {line}".rstrip() for mark, line in zip(marks, lines, strict=True))
    return "\n".join([panel.title, *drawn, ""])


def _time_axis(end: float, width: int) -> list[str]:
    """Round times below the last plot."""
    ticks, labels = ["-"] * width, [" "] * (width + _AXIS_WIDTH)
    free = 0
    for value, text in marks_between(0.0, end):
        at = min(int(value / end * width), width - 1)
        ticks[at] = "+"
        if at >= free:
            labels[at : at + len(text)] = text
            free = at + len(text) + 1
    margin = " " * _AXIS_WIDTH
    return [f"{margin} +-{''.join(ticks)}", f"{margin}   {''.join(labels)[: width + 1].rstrip()}"]
