# ruff: noqa: FBT001, N803  # arguments bear the names of the fields they are wired to
"""Measuring anew how much heat the box loses, from balances of energy that its own model has no part in.

The heater's temperature follows from its power and the measured air alone:

    C_heater · dTh/dt = V · I · u - G_heater · (Th - T)

so the heat that it gave to the air since a time t0 is known, and what the air did not keep was lost to the room:

    G_box = (∫ G_heater · (Th - T) dt - C_air · (T(t) - T(t0))) / ∫ (T - Tr) dt

This holds with the lid open, too, when the filter's model and its estimate of the heater do not.
"""

import math

from twins.functions.built_in import State

LISTENING, CALIBRATING, COOLING_DOWN = 0, 3, 4
"""States of the step `adaptation` in `twin.yaml`."""

SMALLEST, LARGEST = 0.1, 10000.0
"""Heat losses in W/K that a box may have."""

LEAST_EXPOSURE = 3.0
"""Difference to the room times duration in K·s below which a loss can't be measured: 0.1 °C over the 10 records."""


def calibrate(
    state: State,
    average_temperature: float,
    room_temperature: float,
    dt_s: float,
    C_air: float,
    C_heater: float,
    G_heater: float,
    V_heater: float,
    I_heater: float,
    T_heater: float,
    air_before: float,
    room_before: float,
    heater_was_on: bool,
    heater_before: float,
    fitted_before: float,
    phase: int,
) -> tuple[bool, bool, float, float, bool]:
    """Go on with the balances, and in the phase of calibrating read the heat loss off them.

    Args:
        state: Whether operators `enabled` the self-adaptation and have `demanded` a calibration; whether the balances
            are `started`, as they are while it is on; since t0 the heat `lost` in J and the integral of the difference
            to the room, `exposure`, in K·s.
        average_temperature: Measured box temperature in °C.
        room_temperature: Measured room temperature in °C.
        dt_s: Seconds since the previous record.
        C_air: Heat capacity of the air in J/K.
        C_heater: Heat capacity of the heater in J/K.
        G_heater: Heat flow from heater to air in W/K.
        V_heater: Heater voltage in V.
        I_heater: Heater current in A.
        T_heater: The filter's estimate of the heater's temperature in °C, at which its balance begins.
        air_before: Box temperature of the previous record in °C.
        room_before: Room temperature of the previous record in °C.
        heater_was_on: Whether the heater was on from the previous record to this one.
        heater_before: Heater temperature of the previous record by its balance, in °C.
        fitted_before: Heat loss measured last before this record, in W/K.
        phase: State of the self-adaptation with the previous record; t0 is the record that ended its listening.

    Returns:
        Whether the self-adaptation is on; whether a calibration is demanded; the heater's temperature in °C by its
        balance, or the filter's as long as there is none; the heat loss measured last, in W/K; and whether this record
        gave one.
    """
    demanded = state.demanded
    state.demanded = False
    if not state.started:
        state.started = state.enabled
        return state.enabled, demanded, T_heater, fitted_before, False
    power = V_heater * I_heater if heater_was_on else 0.0
    settled = 0.5 * (air_before + average_temperature) + power / G_heater
    warmed = (settled - heater_before) * -math.expm1(-dt_s * G_heater / C_heater)
    if phase in (LISTENING, COOLING_DOWN):
        state.lost = state.exposure = 0.0
    else:
        state.lost += power * dt_s - C_heater * warmed - C_air * (average_temperature - air_before)
        state.exposure += 0.5 * (air_before - room_before + average_temperature - room_temperature) * dt_s
    fitted, usable = fitted_before, False
    if phase == CALIBRATING and state.exposure >= LEAST_EXPOSURE:
        loss = state.lost / state.exposure
        usable = SMALLEST <= loss <= LARGEST
        if usable:
            fitted = loss
    return state.enabled, demanded, heater_before + warmed, fitted, usable


def enable(state: State, enabled: bool) -> None:
    """Switch the self-adaptation on or off, from the next record on."""
    state.enabled = enabled
    state.started = state.started and enabled


def demand(state: State) -> str | None:
    """Ask for a calibration, whether anything is wrong or not; it counts for the next record alone."""
    if not state.enabled:
        return "the self-adaptation is off: enable it first"
    state.demanded = True
    return None
