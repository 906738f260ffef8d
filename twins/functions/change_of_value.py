"""Reports a value when it has changed enough, or when nothing was reported for long."""

from typing import Self

from pydantic import model_validator

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, State
from twins.functions.durations import to_ns
from twins.functions.ranges import Duration, Positive


class ChangeOfValueConfig(Strict):
    """Settings of `change_of_value`.

    Attributes:
        increment: A change of at least this is reported, in the unit of the value.
        maximum_silence_s: After so long without a report the value is reported whatever it is; 0 for never.
        minimum_interval_s: After a report there is none for so long.
    """

    increment: Positive
    maximum_silence_s: Duration = 0.0
    minimum_interval_s: Duration = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if 0.0 < self.maximum_silence_s < self.minimum_interval_s:
            message = f"maximum_silence_s must be 0 or at least minimum_interval_s ({self.minimum_interval_s})"
            raise ValueError(message)
        return self


def change_of_value(
    state: State, value: float, time_ns: int, increment: float, silence_ns: int, interval_ns: int
) -> tuple[float, bool]:
    """Report a value when |value - reported| ≥ increment, and at the latest after the maximum silence.

    The first value is reported. Within the minimum interval after a report there is none; a change that goes on is
    reported with the first record after it. The silence ends with a record (or tick) at or after its end, never between
    two; a late record is not reported. The reported value has the unit of `value`. `dead_band` is the same without
    times, and with the edge inside.
    Source: COV reporting with COV_Increment, ASHRAE 135 (BACnet), clause 13.1; the two times are those of LonWorks
    network variables (SCPTmaxSendTime, SCPTminSendTime).

    Args:
        state: The value `reported` last, when (`reported_ns`), and `started` once there was one.
        value: The new value.
        time_ns: Its event time.
        increment: Smallest change that is reported.
        silence_ns: Maximum silence, 0 for none.
        interval_ns: Minimum interval.

    Returns:
        The value that was reported last, this one included, and whether this one was.
    """
    age_ns = time_ns - state.reported_ns
    due = abs(value - state.reported) >= increment or 0 < silence_ns <= age_ns
    report = not state.started or (due and age_ns >= interval_ns)
    if report:
        state.started = True
        state.reported = value
        state.reported_ns = time_ns
    return state.reported, report


def _make(config: ChangeOfValueConfig) -> BoundStep:
    return BoundStep(
        function=change_of_value,
        arguments=("value", "time_ns"),
        outputs={"reported": StepOutput(), "changed": StepOutput(type="bool")},
        state={
            "started": StateField(type="bool"),
            "reported": StateField(),
            "reported_ns": StateField(type="int", unit="ns"),
        },
        constants={
            "increment": config.increment,
            "silence_ns": to_ns(config.maximum_silence_s),
            "interval_ns": to_ns(config.minimum_interval_s),
        },
        units={"reported": "{value}"},
    )


BUILT_IN = BuiltIn(
    "change_of_value",
    ChangeOfValueConfig,
    _make,
    change_of_value.__doc__ or "",
    {"increment": 0.5, "maximum_silence_s": 900.0},
)
