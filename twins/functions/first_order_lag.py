"""First-order lag: how a sensor or a heated body follows what drives it."""

import math

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, State
from twins.functions.ranges import Number, Positive


class FirstOrderLagConfig(Strict):
    """Settings of `first_order_lag`.

    Attributes:
        time_constant_s: After this time a step of the value is followed to 63 %.
        gain: Response per unit of the value in the long run.
        initial: Response at the first record; the settled one, gain · value, unless given.
    """

    time_constant_s: Positive
    gain: Number = 1.0
    initial: Number | None = None


def first_order_lag(
    state: State,
    value: float,
    dt_s: float,
    time_constant_s: float,
    gain: float,
    settled: bool,  # noqa: FBT001
    initial: float,
) -> float:
    """Solve time constant · dy/dt + y = gain · value, exactly for a value held until the next record.

    y += (1 - exp(-dt / time constant)) · (gain · previous value - y): a value shows in the response from the record
    after it on, whatever the intervals are (`exponential_average` takes it as held since the record before). Of
    records of the same event time the first counts; the value of the others, and of late ones, is passed over.
    The gain has the unit of the response by that of `value`.
    Source: sampling with a zero-order hold, K. J. Åström, B. Wittenmark, Computer-Controlled Systems, 3rd ed. (1997),
    chapter 2.

    Args:
        state: `response`, the `previous` value, and `started` once there was one.
        value: The new value.
        dt_s: Seconds since the previous value.
        time_constant_s: Time constant of the lag.
        gain: Response per unit of the value in the long run.
        settled: Whether the response begins at gain · value rather than at `initial`.
        initial: Where it begins else.

    Returns:
        The response at this record.
    """
    if not state.started:
        state.started = True
        state.response = gain * value if settled else initial
        state.previous = value
    elif dt_s > 0.0:
        state.response -= math.expm1(-dt_s / time_constant_s) * (gain * state.previous - state.response)
        state.previous = value
    return state.response  # type: ignore[no-any-return]


def _make(config: FirstOrderLagConfig) -> BoundStep:
    return BoundStep(
        function=first_order_lag,
        arguments=("value", "dt_s"),
        outputs={"response": StepOutput()},
        state={"started": StateField(type="bool"), "response": StateField(), "previous": StateField()},
        constants={
            "time_constant_s": config.time_constant_s,
            "gain": config.gain,
            "settled": config.initial is None,
            "initial": config.initial or 0.0,
        },
    )


BUILT_IN = BuiltIn(
    "first_order_lag", FirstOrderLagConfig, _make, first_order_lag.__doc__ or "", {"time_constant_s": 60.0}
)
