"""Straight-line correction of a sensor's value."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from schemas.quantity import Strict
from schemas.step import StepOutput
from twins.functions.built_in import BoundStep, BuiltIn
from twins.functions.ranges import LARGEST, Number

Point = Annotated[tuple[Number, Number], Field(strict=False)]


def _apart(points: tuple[Point, Point]) -> tuple[Point, Point]:
    (first, low), (second, high) = points
    if first == second or abs((high - low) / (second - first)) > LARGEST:
        message = f"the raw values {first} and {second} must be further apart"
        raise ValueError(message)
    return points


class LinearCalibrationConfig(Strict):
    """Settings of `linear_calibration`: `gain` and `offset`, or `points`.

    Attributes:
        gain: Result per unit of the value; 1 unless given.
        offset: Result where the value is 0; 0 unless given.
        points: Two pairs of a raw value and what it should be, such as `[[4, 0], [20, 100]]`.
    """

    gain: Number | None = None
    offset: Number | None = None
    points: Annotated[tuple[Point, Point], Field(strict=False), AfterValidator(_apart)] | None = None

    @model_validator(mode="after")
    def _one_line(self) -> Self:
        if self.points is not None and (self.gain is not None or self.offset is not None):
            message = "give gain and offset, or points, not both"
            raise ValueError(message)
        return self


def linear_calibration(value: float, gain: float, pivot: float, offset: float) -> float:
    """Correct a value by a straight line: gain · (value - pivot) + offset.

    With `gain` and `offset` the pivot is 0. Through two points (x1, y1) and (x2, y2): gain = (y2 - y1) / (x2 - x1),
    pivot = x1, offset = y1. The result has the unit of `offset`, the gain that unit by the unit of `value`.
    Source: calibration of linear sensors, J. Fraden, Handbook of Modern Sensors, 5th ed. (2016).

    Args:
        value: The raw value.
        gain: Slope of the line.
        pivot: Raw value that becomes `offset`.
        offset: Result at the pivot.

    Returns:
        The corrected value.
    """
    return gain * (value - pivot) + offset


def _make(config: LinearCalibrationConfig) -> BoundStep:
    gain = 1.0 if config.gain is None else config.gain
    pivot, offset = 0.0, config.offset or 0.0
    if config.points is not None:
        (pivot, offset), (second, high) = config.points
        gain = (high - offset) / (second - pivot)
    return BoundStep(
        function=linear_calibration,
        arguments=("value",),
        outputs={"calibrated": StepOutput()},
        constants={"gain": gain, "pivot": pivot, "offset": offset},
    )


BUILT_IN = BuiltIn(
    "linear_calibration",
    LinearCalibrationConfig,
    _make,
    linear_calibration.__doc__ or "",
    {"points": [[4, 0], [20, 100]]},
)
