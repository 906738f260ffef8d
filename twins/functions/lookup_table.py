"""Characteristic curve given by points."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from schemas.quantity import Strict
from schemas.step import StepOutput
from twins.functions.built_in import Array, BoundStep, BuiltIn, constant_array
from twins.functions.ranges import LARGEST, Number

LEAST_POINTS = 2

Point = Annotated[tuple[Number, Number], Field(strict=False)]


def _rising(points: tuple[Point, ...]) -> tuple[Point, ...]:
    # Not a minimum length of the field: that would count a faulty point as none and report a second fault.
    if len(points) < LEAST_POINTS:
        message = f"a curve needs at least {LEAST_POINTS} points"
        raise ValueError(message)
    for index, ((left, _), (right, _)) in enumerate(pairwise(points), start=1):
        # Nearer ones would let a line through them leave the range of floats.
        if right - left < 1 / LARGEST:
            message = f"x must rise from point to point; point {index + 1} has {right} after {left}"
            raise ValueError(message)
    return points


class LookupTableConfig(Strict):
    """Settings of `lookup_table`.

    Attributes:
        points: Pairs of x and y, such as `[[0, 0], [10, 4.5], [20, 5]]`; x rises strictly.
        outside: What values outside of the points give: the y of the nearest point (`hold`), or the line through the
            nearest two (`extrapolate`).
    """

    points: Annotated[tuple[Point, ...], Field(max_length=1000, strict=False), AfterValidator(_rising)]
    outside: Literal["hold", "extrapolate"] = "hold"


def lookup_table(value: float, x: Array, y: Array, hold: bool) -> float:  # noqa: FBT001
    """Interpolate linearly between the two points next to the value.

    y = y1 + (value - x1) / (x2 - x1) · (y2 - y1); a point gives its own y exactly. The result has the unit of y,
    `value` that of x.
    Source: W. H. Press et al., Numerical Recipes, 3rd ed. (2007): the search by bisection in section 3.1, the
    formula (3.3.1).

    Args:
        value: Where to read the curve.
        x: Where the n points are, rising.
        y: What the curve is there, n numbers.
        hold: Whether the curve goes on level outside of the points.

    Returns:
        The curve at the value.
    """
    if hold:
        value = min(max(value, x[0]), x[-1])
    left, right = 0, x.shape[0] - 1
    while right - left > 1:
        middle = (left + right) // 2
        if value < x[middle]:
            right = middle
        else:
            left = middle
    share = (value - x[left]) / (x[right] - x[left])
    # Rounding must not let the curve miss its last point.
    return float(y[right] if value == x[right] else y[left] + share * (y[right] - y[left]))


def _make(config: LookupTableConfig) -> BoundStep:
    x, y = zip(*config.points, strict=True)
    return BoundStep(
        function=lookup_table,
        arguments=("value",),
        outputs={"result": StepOutput()},
        constants={"x": constant_array(x), "y": constant_array(y), "hold": config.outside == "hold"},
    )


BUILT_IN = BuiltIn(
    "lookup_table", LookupTableConfig, _make, lookup_table.__doc__ or "", {"points": [[0, 0], [10, 35], [30, 50]]}
)
