"""Panels as one SVG picture."""

from collections.abc import Sequence
from html import escape

from infra.authoring.panel import Panel, utc

_WIDTH, _LEFT, _RIGHT = 960, 80, 20
_TOP, _HEIGHT, _GAP = 40, 120, 40
_TEXT = 'font-family="sans-serif" font-size="12" fill="#333333"'


def as_svg(title: str, panels: Sequence[Panel]) -> str:
    """One panel below the other over a common time axis.

    Args:
        title: What stands above.
        panels: None where nothing was stored.
    """
    first_ns = min((panel.times_ns[0] for panel in panels), default=0)
    last_ns = max((panel.times_ns[-1] for panel in panels), default=0)
    bottom = _TOP + len(panels) * (_HEIGHT + _GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{bottom}" viewBox="0 0 {_WIDTH} {bottom}">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        _text(_LEFT, 20, "start", title, 'font-weight="bold"'),
    ]
    for number, panel in enumerate(panels):
        lines += _panel(panel, _TOP + number * (_HEIGHT + _GAP), first_ns, last_ns)
    if panels:
        lines.append(_text(_LEFT, bottom - 8, "start", f"{utc(first_ns)} UTC"))
        lines.append(_text(_WIDTH - _RIGHT, bottom - 8, "end", f"{utc(last_ns)} UTC"))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _panel(panel: Panel, top: int, first_ns: int, last_ns: int) -> list[str]:
    width = _WIDTH - _LEFT - _RIGHT
    across, upwards = width / ((last_ns - first_ns) or 1), _HEIGHT / (panel.high - panel.low)

    def down(value: float) -> float:
        return top + 16 + (panel.high - value) * upwards

    points = " ".join(
        f"{_LEFT + (time_ns - first_ns) * across:.1f},{down(value):.1f}"
        for time_ns, value in zip(panel.times_ns, panel.values, strict=True)
    )
    grid = [
        f'<line x1="{_LEFT}" y1="{down(value):.1f}" x2="{_LEFT + width}" y2="{down(value):.1f}" stroke="#eeeeee"/>'
        for value, _ in panel.marks
    ]
    return [
        _text(_LEFT, top + 10, "start", panel.title),
        *grid,
        f'<rect x="{_LEFT}" y="{top + 16}" width="{width}" height="{_HEIGHT}" fill="none" stroke="#bbbbbb"/>',
        *(_text(_LEFT - 6, round(down(value)) + 4, "end", text) for value, text in panel.marks),
        f'<polyline points="{points}" fill="none" stroke="#1f77b4" stroke-width="1.5" stroke-linejoin="round"/>',
    ]


def _text(x: int, y: int, anchor: str, text: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" {_TEXT} {more}>{escape(text)}</text>'
