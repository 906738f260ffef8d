"""A pipeline as a drawing: boxes in columns; what is of the previous record is dashed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from infra.console.pipeline_graph import Node
from infra.console.pipeline_layout import HIGH, Spot, laid_out

_LEAST_WIDE, _USUAL_WIDE, _MOST_WIDE, _GAP_X, _EDGE, _INDENT = 140, 160, 240, 44, 8, 12
_LETTER, _SMALL_LETTER = 7.6, 6.2
"""Pixels that a letter of a box's lines takes."""
_BACK, _BACK_GAP = 22, 8
"""Pixels below the boxes where edges go back, and between these."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """The drawing, as SVG that takes its colours from the page, and its width in pixels."""

    svg: str
    wide: int


def drawing(nodes: Sequence[Node], title: str) -> Drawing:
    """The boxes and what goes between them."""
    layout = laid_out(nodes)
    box = _box_wide(nodes)
    x_of = {spot: _EDGE + at * (box + _GAP_X) for at, column in enumerate(layout.columns) for spot in column}
    spots = {spot.node.name: spot for spot in x_of if spot.node is not None}
    back = [ends for ends, route in layout.routes.items() if not route]
    wide = len(layout.columns) * (box + _GAP_X) - _GAP_X + 2 * _EDGE
    high = round(layout.high + 2 * _EDGE + (_BACK + _BACK_GAP * len(back) if back else 0))
    parts = [
        (
            f'<svg class="ts-graph" role="img" aria-label="{escape(title)}" viewBox="0 0 {wide} {high}"'
            f' width="{wide}" height="{high}"><defs><marker id="ts-tip" viewBox="0 0 8 8" refX="7" refY="4"'
            ' markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" class="ts-tip"/></marker></defs>'
        )
    ]
    for node in nodes:
        for name, previous in node.needs.items():
            route = [(x_of[spot], _EDGE + spot.y) for spot in layout.routes[name, node.name]]
            if route:
                path = _forward(route, box)
            else:
                ends = [(x_of[spots[end]], _EDGE + spots[end].y) for end in (name, node.name)]
                low = _EDGE + layout.high + _BACK + _BACK_GAP * back.index((name, node.name))
                path = _backward(ends[0], ends[1], box, low)
            kind = "ts-edge ts-previous" if previous else "ts-edge"
            parts.append(f'<path d="{path}" class="{kind}" marker-end="url(#ts-tip)"/>')
    parts += [_box(node, x_of[spot], _EDGE + spot.y - HIGH / 2, box) for node, spot in _boxes(x_of)]
    return Drawing("".join(parts) + "</svg>", wide)


def _boxes(spots: dict[Spot, int]) -> list[tuple[Node, Spot]]:
    return [(spot.node, spot) for spot in spots if spot.node is not None]


def _box_wide(nodes: Sequence[Node]) -> int:
    """So that names can be read; second lines are cut earlier."""
    names = max(len(node.name) for node in nodes) * _LETTER + 2 * _INDENT
    below = max(len(node.below) for node in nodes) * _SMALL_LETTER + 2 * _INDENT
    return round(max(_LEAST_WIDE, min(names, _MOST_WIDE), min(below, _USUAL_WIDE)))


def _box(node: Node, x: float, y: float, wide: int) -> str:
    room = wide - 2 * _INDENT
    name, below = _cut(node.name, int(room / _LETTER)), _cut(node.below, int(room / _SMALL_LETTER))
    return (
        f'<g class="ts-node" data-kind="{node.kind}"><title>{escape(f"{node.name}: {node.hint}")}</title>'
        f'<rect x="{x}" y="{y:g}" width="{wide}" height="{HIGH}" rx="6"/>'
        f'<text x="{x + _INDENT}" y="{y + 20:g}">{escape(name)}</text>'
        f'<text x="{x + _INDENT}" y="{y + 36:g}" class="ts-below">{escape(below)}</text></g>'
    )


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _forward(route: Sequence[tuple[float, float]], box: int) -> str:
    """Straight over a column, bent between two."""
    x, y = route[0][0] + box, route[0][1]
    path = f"M{x:g} {y:g}"
    for number, (left, middle) in enumerate(route[1:], 2):
        half = (left - x) / 2
        path += f"C{x + half:g} {y:g} {left - half:g} {middle:g} {left:g} {middle:g}"
        x, y = left + box, middle
        if number < len(route):
            path += f"L{x:g} {y:g}"
    return path


def _backward(source: tuple[float, float], target: tuple[float, float], box: int, low: float) -> str:
    """To a step further left, below all boxes."""
    x0, y0 = source[0] + box, source[1] + 8
    x1, y1 = target[0], target[1] + 8
    return (
        f"M{x0:g} {y0:g}C{x0 + 34:g} {y0:g} {x0 + 24:g} {low:g} {x0 - 8:g} {low:g}"
        f"L{x1 + 8:g} {low:g}C{x1 - 24:g} {low:g} {x1 - 34:g} {y1:g} {x1:g} {y1:g}"
    )
