"""Follows a value no faster than permitted."""

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, State
from twins.functions.ranges import NotNegative


class RateLimiterConfig(Strict):
    """Settings of `rate_limiter`, in the unit of the value per second.

    Attributes:
        rising_per_s: How fast the result may rise.
        falling_per_s: How fast it may fall; as fast as it may rise unless given.
    """

    rising_per_s: NotNegative
    falling_per_s: NotNegative | None = None


def rate_limiter(state: State, value: float, dt_s: float, rising_per_s: float, falling_per_s: float) -> float:
    """Move towards a value by what the event time since the previous record permits; the first one is taken as it is.

    limited = min(max(value, limited - falling · dt), limited + rising · dt), in the unit of `value`. A record of the
    same event time as the one before, or a late one, moves nothing.
    Source: the block Rate Limiter of Simulink, where (value - limited) / dt is cut to the limits.

    Args:
        state: The `limited` value, and `started` once there was one.
        value: Where to go.
        dt_s: Seconds since the previous value; a negative interval counts as 0.
        rising_per_s: Limit of the rate upwards.
        falling_per_s: Limit of the rate downwards, as a positive number.

    Returns:
        The limited value.
    """
    if not state.started:
        state.started = True
        state.limited = value
    elif dt_s > 0.0:
        lowest = state.limited - falling_per_s * dt_s
        state.limited = min(max(value, lowest), state.limited + rising_per_s * dt_s)
    return state.limited  # type: ignore[no-any-return]


def _make(config: RateLimiterConfig) -> BoundStep:
    return BoundStep(
        function=rate_limiter,
        arguments=("value", "dt_s"),
        outputs={"limited": StepOutput()},
        state={"started": StateField(type="bool"), "limited": StateField()},
        constants={
            "rising_per_s": config.rising_per_s,
            "falling_per_s": config.rising_per_s if config.falling_per_s is None else config.falling_per_s,
        },
        units={"limited": "{value}"},
    )


BUILT_IN = BuiltIn("rate_limiter", RateLimiterConfig, _make, rate_limiter.__doc__ or "", {"rising_per_s": 0.1})
