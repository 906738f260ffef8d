"""Where the boxes of a pipeline stand, and by which lanes what goes further than to the next column passes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

from infra.console.pipeline_graph import Node

HIGH, GAP = 46, 18
_LANE_HIGH = 2
_SWEEPS = 8


@dataclass(slots=True, eq=False)
class Spot:
    """A place in a column: of a box, or of a lane between boxes.

    Attributes:
        node: The box; None for a lane.
        before: Spots of the column to the left that lead here.
        after: Spots of the column to the right to which it leads.
        y: Its middle, pixels.
    """

    node: Node | None
    before: "list[Spot]" = field(default_factory=list)
    after: "list[Spot]" = field(default_factory=list)
    y: float = 0.0

    @property
    def high(self) -> int:
        """Pixels."""
        return HIGH if self.node else _LANE_HIGH


@dataclass(slots=True)
class Layout:
    """Spots by column, and those that an edge passes, by its ends: from box to box, or none for one that goes back."""

    columns: list[list[Spot]]
    routes: dict[tuple[str, str], list[Spot]]
    high: float


def laid_out(nodes: Sequence[Node]) -> Layout:
    """A layout with few crossings, in which no edge crosses a box.

    The usual way to draw layers (Sugiyama, Tagawa, Toda 1981): an edge over several columns has a spot in each, and
    columns are sorted by the mean place of what their spots hang on, to and fro.
    """
    columns: list[list[Spot]] = [[] for _ in range(max(node.column for node in nodes) + 1)]
    boxes = {node.name: Spot(node) for node in nodes}
    for node in nodes:
        columns[node.column].append(boxes[node.name])
    lanes: dict[tuple[str, bool, int], Spot] = {}
    routes: dict[tuple[str, str], list[Spot]] = {}
    for node in nodes:
        for name, previous in node.needs.items():
            source, route = boxes[name], [boxes[name]]
            for column in range(_column(source) + 1, node.column):
                key = name, previous, column
                if key not in lanes:  # all that comes from one box goes together
                    lanes[key] = Spot(None)
                    columns[column].append(lanes[key])
                route.append(lanes[key])
            route.append(boxes[node.name])
            forward = _column(source) < node.column
            routes[name, node.name] = route if forward else []
            if forward:
                _linked(route)
    high = _sorted(columns)
    return Layout(columns, routes, high)


def _column(spot: Spot) -> int:
    assert spot.node is not None  # noqa: S101 - asked of boxes
    return spot.node.column


def _linked(route: list[Spot]) -> None:
    for left, right in pairwise(route):
        if right not in left.after:
            left.after.append(right)
            right.before.append(left)


def _sorted(columns: list[list[Spot]]) -> float:
    """Sort columns in place; pixels of the highest."""
    high = _placed(columns)
    fewest, best = _crossings(columns), [list(column) for column in columns]
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            column.sort(key=_by_before if sweep % 2 == 0 else _by_after)
            _placed(columns)
        crossings = _crossings(columns)
        if crossings < fewest:
            fewest, best = crossings, [list(column) for column in columns]
    columns[:] = best
    _placed(columns)
    return high


def _by_before(spot: Spot) -> float:
    return _mean(spot, spot.before)


def _by_after(spot: Spot) -> float:
    return _mean(spot, spot.after)


def _mean(spot: Spot, others: list[Spot]) -> float:
    return sum(other.y for other in others) / len(others) if others else spot.y


def _placed(columns: list[list[Spot]]) -> float:
    """Give all spots their place, columns in the middle; pixels of the highest."""
    heights = [sum(spot.high + GAP for spot in column) - GAP for column in columns]
    for column, high in zip(columns, heights, strict=True):
        top = (max(heights) - high) / 2
        for spot in column:
            spot.y = top + spot.high / 2
            top += spot.high + GAP
    return max(heights)


def _crossings(columns: list[list[Spot]]) -> int:
    found = 0
    for column in columns:
        lines = [(spot.y, after.y) for spot in column for after in spot.after]
        found += sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in combinations(lines, 2))
    return found
