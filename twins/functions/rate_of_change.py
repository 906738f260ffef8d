"""How fast a value changes."""

from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, NoConfig, State


def rate_of_change(state: State, value: float, dt_s: float) -> float:
    """Divide the change since the previous record by the event time since then.

    rate = (value - previous) / dt, in the unit of `value` per second: the backward difference; 0 for the first record.
    Of records of the same event time the first counts; the others, and late ones, leave the rate as it was.
    Source: M. Abramowitz, I. A. Stegun, Handbook of Mathematical Functions (1964), section 25.3.

    Args:
        state: `previous` value, `rate`, and `started` once there was a value.
        value: The new value.
        dt_s: Seconds since the previous value.

    Returns:
        The rate of change, per second.
    """
    if not state.started:
        state.started = True
        state.previous = value
    elif dt_s > 0.0:
        state.rate = (value - state.previous) / dt_s
        state.previous = value
    return state.rate  # type: ignore[no-any-return]


def _make(_config: NoConfig) -> BoundStep:
    return BoundStep(
        function=rate_of_change,
        arguments=("value", "dt_s"),
        outputs={"rate": StepOutput()},
        state={"started": StateField(type="bool"), "previous": StateField(), "rate": StateField()},
        units={"rate": "{delta value}/s"},
    )


BUILT_IN = BuiltIn("rate_of_change", NoConfig, _make, rate_of_change.__doc__ or "")
