"""Panels as text for a terminal, in dots of Braille letters."""

from collections.abc import Sequence

import plotille

from infra.authoring.panel import Panel, unit_for, utc
from schemas.clock import NS_PER_S

_HEIGHT = 8
_AXIS_WIDTH = 12
_NARROWEST, _WIDEST = 30, 120


def as_text(panels: Sequence[Panel], columns: int) -> str:
    """One plot below the other.

    Args:
        panels: At least one.
        columns: Width of the terminal in letters.
    """
    first_ns = min(panel.times_ns[0] for panel in panels)
    span_s = (max(panel.times_ns[-1] for panel in panels) - first_ns) / NS_PER_S
    unit, unit_s = unit_for(span_s)
    end = span_s / unit_s or 1.0
    width = min(max(columns - _AXIS_WIDTH - 6, _NARROWEST), _WIDEST)
    plots = [_plot(panel, first_ns, unit_s, end, width) for panel in panels]
    return "\n".join([*plots, f"time in {unit} since {utc(first_ns)} UTC"])


def _plot(panel: Panel, first_ns: int, unit_s: float, end: float, width: int) -> str:
    figure = plotille.Figure()
    figure.width, figure.height = width, _HEIGHT
    figure.with_colors = False
    figure.origin = False
    figure.register_label_formatter(float, _label)
    figure.x_label, figure.y_label = "", ""
    figure.set_x_limits(0.0, end)
    figure.set_y_limits(panel.low, panel.high)
    times = [(time_ns - first_ns) / NS_PER_S / unit_s for time_ns in panel.times_ns]
    figure.plot(times, panel.values)
    # Its first line would name the vertical axis, and the one before the last the horizontal one.
    _, *lines = figure.show().splitlines()
    return "\n".join([panel.title, *(line.removesuffix("()").rstrip() for line in lines), ""])


def _label(value: float, chars: int, delta: float, left: bool = False) -> str:  # noqa: ARG001, FBT001, FBT002
    text = f"{value:.5g}"
    return text.ljust(chars) if left else text.rjust(chars)
