"""Integral of a value over event time."""

import math
from typing import Self

from pydantic import model_validator

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, Constant, State
from twins.functions.ranges import Number


class IntegratorConfig(Strict):
    """Settings of `integrator`, in the unit of the value times seconds.

    Attributes:
        initial: Where the integral begins, and begins anew at a reset.
        lower: It never falls below this; no limit unless given.
        upper: It never rises above this; no limit unless given.
        reset: Whether there is an argument `reset`.
    """

    initial: Number = 0.0
    lower: Number | None = None
    upper: Number | None = None
    reset: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        lower, upper = self.limits
        if not lower <= self.initial <= upper:
            message = f"initial ({self.initial}) must lie between lower ({lower}) and upper ({upper})"
            raise ValueError(message)
        return self

    @property
    def limits(self) -> tuple[float, float]:
        """Lower and upper limit, infinite where there is none."""
        return -math.inf if self.lower is None else self.lower, math.inf if self.upper is None else self.upper


def integrator(state: State, value: float, dt_s: float, lower: float, upper: float) -> float:
    """Add up a value over event time by the trapezoidal rule, within limits.

    integral = min(max(integral + (previous + value) / 2 · dt, lower), upper), in the unit of `value` times seconds.
    What a limit cuts off is lost, so the integral leaves the limit as soon as the value changes its sign. The first
    record gives the initial value, and so does each one whose `reset` (an argument if the config says so) is true,
    whatever its event time; the next interval begins at it. Else, of records of the same event time the first counts;
    the value of the others, and of late ones, is passed over.
    Source: P. J. Davis, P. Rabinowitz, Methods of Numerical Integration, 2nd ed. (1984), section 2.1.

    Args:
        state: `integral`, the `previous` value, and `started` once there was one.
        value: The new value.
        dt_s: Seconds since the previous value.
        lower: Lower limit of the integral.
        upper: Upper limit of the integral.

    Returns:
        The integral up to this record.
    """
    if not state.started:
        state.started = True
        state.previous = value
    elif dt_s > 0.0:
        integral = state.integral + 0.5 * (state.previous + value) * dt_s
        state.integral = min(max(integral, lower), upper)
        state.previous = value
    return state.integral  # type: ignore[no-any-return]


def integrator_with_reset(
    state: State,
    value: float,
    reset: bool,  # noqa: FBT001
    dt_s: float,
    lower: float,
    upper: float,
    initial: float,
) -> float:
    """Do the same, and begin anew with every record whose `reset` is true."""
    if reset:
        state.started = False
        state.integral = initial
    return integrator(state, value, dt_s, lower, upper)


def _make(config: IntegratorConfig) -> BoundStep:
    lower, upper = config.limits
    constants: dict[str, Constant] = {"lower": lower, "upper": upper}
    return BoundStep(
        function=integrator_with_reset if config.reset else integrator,
        arguments=("value", "reset", "dt_s") if config.reset else ("value", "dt_s"),
        outputs={"integral": StepOutput()},
        state={
            "started": StateField(type="bool"),
            "integral": StateField(initial=config.initial),
            "previous": StateField(),
        },
        constants=constants | ({"initial": config.initial} if config.reset else {}),
        truths=("reset",) if config.reset else (),
        units={"integral": "{value}*s"},
    )


BUILT_IN = BuiltIn("integrator", IntegratorConfig, _make, integrator.__doc__ or "", {"lower": 0.0})
