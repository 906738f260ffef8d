"""Whether a value is above a limit, with hysteresis and hold times."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, State
from twins.functions.durations import to_ns

Seconds = Annotated[float, Field(ge=0, le=1e9)]


class ThresholdConfig(Strict):
    """Settings of `threshold`.

    Attributes:
        above: Active once the value is above this.
        below: No longer active once the value is below this; `above` unless given.
        hold_s: How long the value must have been above before it becomes active.
        release_s: How long it must have been below before it ends.
    """

    above: Annotated[float, Field(allow_inf_nan=False)]
    below: Annotated[float, Field(allow_inf_nan=False)] | None = None
    hold_s: Seconds = 0.0
    release_s: Seconds = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.below is not None and self.below > self.above:
            message = f"below ({self.below}) must not be greater than above ({self.above})"
            raise ValueError(message)
        return self


def threshold(
    state: State, value: float, dt_s: float, above: float, below: float, hold_s: float, release_s: float
) -> bool:
    """Compare a value with a limit.

    It changes with the first record at which the condition has held, without a break, since a record at least
    `hold_s` (`release_s`) earlier; with 0 at once. A value that equals a limit changes nothing. Limits have the unit
    of `value`.
    Source: limit, dead band, on delay and off delay of alarms, OPC 10000-9, OPC UA, Alarms and Conditions, annex B.1.5.

    Args:
        state: `active`, whether the opposite condition is `pending`, and for how long (`pending_ns`).
        value: The new value.
        dt_s: Seconds since the previous value.
        above: Limit for becoming active.
        below: Limit for ending.
        hold_s: Hold time for becoming active.
        release_s: Hold time for ending.

    Returns:
        Whether it is active.
    """
    wanted = value < below if state.active else value > above
    wait_s = release_s if state.active else hold_s
    if not wanted:
        state.pending = False
        return state.active  # type: ignore[no-any-return]
    if state.pending:
        state.pending_ns += to_ns(dt_s)
    else:
        state.pending = True
        state.pending_ns = 0
    if state.pending_ns >= to_ns(wait_s):
        state.active = not state.active
        state.pending = False
    return state.active  # type: ignore[no-any-return]


def _make(config: ThresholdConfig) -> BoundStep:
    return BoundStep(
        function=threshold,
        arguments=("value", "dt_s"),
        outputs={"active": StepOutput(type="bool")},
        state={
            "active": StateField(type="bool"),
            "pending": StateField(type="bool"),
            "pending_ns": StateField(type="int", unit="ns"),
        },
        constants={
            "above": config.above,
            "below": config.above if config.below is None else config.below,
            "hold_s": config.hold_s,
            "release_s": config.release_s,
        },
    )


BUILT_IN = BuiltIn(
    "threshold", ThresholdConfig, _make, threshold.__doc__ or "", {"above": 80.0, "below": 75.0, "hold_s": 10.0}
)
