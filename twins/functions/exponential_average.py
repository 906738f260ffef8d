"""Average that forgets with a time constant."""

import math
from typing import Annotated

from pydantic import Field

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, State


class ExponentialAverageConfig(Strict):
    """Settings of `exponential_average`.

    Attributes:
        time_constant_s: After this time a step of the value is followed to 63 %.
    """

    time_constant_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]


def exponential_average(state: State, value: float, dt_s: float, time_constant_s: float) -> float:
    """Follow a value with a first-order lag, exact for a value held since the previous record.

    average += (1 - exp(-dt / time constant)) · (value - average); the first value is taken as it is.
    The average has the unit of `value`.
    Source: G. Zumbach, U. Müller, Operators on inhomogeneous time series, International Journal of Theoretical and
    Applied Finance 4 (2001) 147-177: the operator EMA with next-point interpolation.

    Args:
        state: `average`, and `started` once there was a value.
        value: The new value.
        dt_s: Seconds since the previous value; a negative interval counts as 0.
        time_constant_s: Time constant of the lag.

    Returns:
        The average, this value included.
    """
    if not state.started:
        state.started = True
        state.average = value
    elif dt_s > 0.0:
        state.average -= math.expm1(-dt_s / time_constant_s) * (value - state.average)
    return state.average  # type: ignore[no-any-return]


def _make(config: ExponentialAverageConfig) -> BoundStep:
    return BoundStep(
        function=exponential_average,
        arguments=("value", "dt_s"),
        outputs={"average": StepOutput()},
        state={"started": StateField(type="bool"), "average": StateField()},
        constants={"time_constant_s": config.time_constant_s},
        units={"average": "{value}"},
    )


BUILT_IN = BuiltIn(
    "exponential_average", ExponentialAverageConfig, _make, exponential_average.__doc__ or "", {"time_constant_s": 60.0}
)
