"""Two-point control: an actuator that is on or off keeps a value near its set-point."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, State
from twins.functions.durations import to_ns

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]


class OnOffControllerConfig(Strict):
    """Settings of `on_off_controller`.

    Attributes:
        action: What the actuator does to the value while it is on.
        below: Lower edge of the dead band, as a distance from the set-point in its unit.
        above: Upper edge of the dead band, as a distance from the set-point in its unit.
        minimum_on_s: It stays on at least so long.
        minimum_off_s: It stays off at least so long, save for the very first switch.
    """

    action: Literal["raises", "lowers"] = "raises"
    below: NotNegative = 0.0
    above: NotNegative = 0.0
    minimum_on_s: Seconds = 0.0
    minimum_off_s: Seconds = 0.0


def on_off_controller(
    state: State,
    value: float,
    setpoint: float,
    dt_s: float,
    raises: bool,  # noqa: FBT001
    below: float,
    above: float,
    minimum_on_s: float,
    minimum_off_s: float,
) -> bool:
    """Decide whether the actuator is on.

    Below `setpoint - below` a raising actuator goes on and a lowering one off, above `setpoint + above` the reverse;
    in between, edges included, it stays as it is. At most one switch a record.
    Source: on-off control with hysteresis, K. J. Åström, R. M. Murray, Feedback Systems, 2nd ed. (2021), section 1.5.

    Args:
        state: `on`; `switched`, whether it ever was; `since_ns`, the time since then.
        value: The controlled value, in the unit of `setpoint`.
        setpoint: Where it should be.
        dt_s: Seconds since the previous value.
        raises: Whether the actuator raises the value.
        below: Lower edge of the dead band.
        above: Upper edge of the dead band.
        minimum_on_s: Shortest time on.
        minimum_off_s: Shortest time off.

    Returns:
        Whether the actuator is on.
    """
    state.since_ns += to_ns(dt_s)
    too_low = value < setpoint - below
    too_high = value > setpoint + above
    on_side, off_side = (too_low, too_high) if raises else (too_high, too_low)
    wanted = on_side or (state.on and not off_side)
    minimum_s = minimum_on_s if state.on else minimum_off_s
    if wanted != state.on and (not state.switched or state.since_ns >= to_ns(minimum_s)):
        state.on = wanted
        state.switched = True
        state.since_ns = 0
    return state.on  # type: ignore[no-any-return]


def _make(config: OnOffControllerConfig) -> BoundStep:
    return BoundStep(
        function=on_off_controller,
        arguments=("value", "setpoint", "dt_s"),
        outputs={"on": StepOutput(type="bool")},
        state={
            "on": StateField(type="bool"),
            "switched": StateField(type="bool"),
            "since_ns": StateField(type="int", unit="ns"),
        },
        constants={
            "raises": config.action == "raises",
            "below": config.below,
            "above": config.above,
            "minimum_on_s": config.minimum_on_s,
            "minimum_off_s": config.minimum_off_s,
        },
        units={"setpoint": "{value}"},
    )


BUILT_IN = BuiltIn(
    "on_off_controller",
    OnOffControllerConfig,
    _make,
    on_off_controller.__doc__ or "",
    {"action": "lowers", "above": 1.0, "minimum_off_s": 180.0},
)
