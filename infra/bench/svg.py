"""Bar charts as SVG, readable on their own and in any browser."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _LEFT, _RIGHT = 760, 200, 110
_TOP, _ROW, _BAR = 56, 30, 18
_OURS, _OTHERS, _TEXT, _FAINT = "#0b6e99", "#9aa7b0", "#1d2429", "#5f6b73"


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        label: What it stands for.
        value: Its length.
        lowest: Where the line across its end begins.
        highest: Where that line ends.
        ours: Whether it is of this project.
    """

    label: str
    value: float
    lowest: float
    highest: float
    ours: bool = False


def bars(title: str, subtitle: str, rows: Sequence[Bar], digits: int = 0) -> str:
    """A chart of horizontal bars from zero, each with its value and the spread of its runs.

    Args:
        title: First line.
        subtitle: Second line: the unit, and which way is better.
        rows: From top to bottom; at least one.
        digits: Decimals of the values.
    """
    longest = max(row.highest for row in rows) or 1.0
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    height = _TOP + _ROW * len(rows) + 12
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    look = f'font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="{escape(title)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {look}>',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="600" fill="{_TEXT}">{escape(title)}</text>',
        f'<text x="12" y="41" fill="{_FAINT}">{escape(subtitle)}</text>',
    ]
    for place, row in enumerate(rows):
        parts += _bar(row, _TOP + _ROW * place, scale, digits)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(row: Bar, top: float, scale: float, digits: int) -> list[str]:
    middle = top + _BAR / 2
    width = max(row.value * scale, 1.0)
    low, high = _LEFT + row.lowest * scale, _LEFT + row.highest * scale
    weight = ' font-weight="600"' if row.ours else ""
    text = f'dominant-baseline="central" fill="{_TEXT}"{weight}'
    fill = _OURS if row.ours else _OTHERS
    spread = f"M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {middle - 4:.1f}v8M{high:.1f} {middle - 4:.1f}v8"
    return [
        f'<text x="{_LEFT - 8}" y="{middle:.1f}" text-anchor="end" {text}>{escape(row.label)}</text>',
        f'<rect x="{_LEFT}" y="{top:.1f}" width="{width:.1f}" height="{_BAR}" fill="{fill}"/>',
        f'<path d="{spread}" stroke="{_TEXT}" fill="none"/>',
        f'<text x="{max(high, _LEFT + width) + 8:.1f}" y="{middle:.1f}" {text}>{row.value:,.{digits}f}</text>',
    ]
