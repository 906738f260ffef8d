# ruff: noqa: FBT001  # arguments bear the names of the fields they are wired to
"""Not heating for an open lid."""

from twins.functions.built_in import State

ERROR_LIMIT = 1.0
"""Prediction error in °C above which the lid is taken to be open."""

SHARE = 0.6
"""Share of the set-point that is left meanwhile."""


def choose_setpoint(state: State, prediction_error: float, temperature_desired: float) -> float:
    """Choose the set-point in force.

    Args:
        state: Whether the energy saver is `enabled`.
        prediction_error: Measured minus estimated box temperature in °C.
        temperature_desired: Set-point that operators want, in °C.

    Returns:
        That set-point, or its lowered value while the error of this record is large.
    """
    if state.enabled and abs(prediction_error) > ERROR_LIMIT:
        return SHARE * temperature_desired
    return temperature_desired


def enable(state: State, enabled: bool) -> None:
    """Switch the energy saver on or off, from the next record on."""
    state.enabled = enabled
