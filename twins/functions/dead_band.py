"""Lets a value pass only when it has changed enough."""

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, State
from twins.functions.ranges import NotNegative


class DeadBandConfig(Strict):
    """Settings of `dead_band`.

    Attributes:
        band: The value must be further than this from the one that passed last, in its unit; 0 passes every change.
    """

    band: NotNegative


def dead_band(state: State, value: float, band: float) -> tuple[float, bool]:
    """Hold the value that passed last until |value - passed| > band; the first one passes.

    The band moves along: it lies around the value that passed last, so that a slow drift is followed in steps. An edge
    of the band is inside. This is also change-of-value reporting (BACnet's COV increment), where equality passes.
    Source: absolute dead band of OPC 10000-4, OPC Unified Architecture, Services, DataChangeFilter.

    Args:
        state: The value `passed` last, and `started` once there was one.
        value: The new value.
        band: Half the width of the band.

    Returns:
        The value that passed last, this one included, in the unit of `value`; and whether this one passed.
    """
    changed = not state.started or abs(value - state.passed) > band
    if changed:
        state.started = True
        state.passed = value
    return state.passed, changed


def _make(config: DeadBandConfig) -> BoundStep:
    return BoundStep(
        function=dead_band,
        arguments=("value",),
        outputs={"passed": StepOutput(), "changed": StepOutput(type="bool")},
        state={"started": StateField(type="bool"), "passed": StateField()},
        constants={"band": config.band},
        units={"passed": "{value}"},
    )


BUILT_IN = BuiltIn("dead_band", DeadBandConfig, _make, dead_band.__doc__ or "", {"band": 0.5})
