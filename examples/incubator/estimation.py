# ruff: noqa: FBT001, N803  # arguments bear the names of the fields they are wired to
"""Estimating heater and box temperature with a Kalman filter.

Two states, heater Th and air T, heated by V · I while the heater is on and cooled by the room Tr:

    C_heater · dTh/dt = V · I · u - G_heater · (Th - T)
    C_air    · dT/dt  = G_heater · (Th - T) - G_box · (T - Tr)

Discretised by backward difference over h seconds, with the measured box temperature as the one measurement.
"""

from twins.functions.built_in import State
from twins.functions.kalman import predict_2, update_2


def estimate(
    state: State,
    average_temperature: float,
    room_temperature: float,
    heater_on: bool,
    dt_s: float,
    C_air: float,
    G_box: float,
    C_heater: float,
    G_heater: float,
    V_heater: float,
    I_heater: float,
    step_s: float,
    noise: float,
    x0_heater: float,
    x0_air: float,
    calibrated: bool,
    adaptation_changed: bool,
    G_box_fitted: float,
    heater_before: float,
    air_before: float,
) -> tuple[float, float, float, int, float]:
    """Predict with this record's heater and room, then update with its box temperature.

    Args:
        state: `x` = [Th, T], their covariance `P`, whether the filter is `started`, the `records` since then, and the
            heat loss that the self-adaptation has measured, `G_box_adapted`, 0 for none.
        average_temperature: Measured box temperature in °C.
        room_temperature: Measured room temperature in °C.
        heater_on: Whether the heater was on.
        dt_s: Seconds since the previous record, 0 for the first.
        C_air: Heat capacity of the air in J/K.
        G_box: Heat loss of the box in W/K.
        C_heater: Heat capacity of the heater in J/K.
        G_heater: Heat flow from heater to air in W/K.
        V_heater: Heater voltage in V.
        I_heater: Heater current in A.
        step_s: Step of the discrete model in seconds; 0 takes `dt_s`.
        noise: Variance of the measurement in K², and size of the process noise.
        x0_heater: First heater temperature in °C.
        x0_air: First box temperature in °C.
        calibrated: Whether the self-adaptation ended with a calibration, as of the previous record.
        adaptation_changed: Whether it did so with that record.
        G_box_fitted: The heat loss that it measured, in W/K.
        heater_before: Heater temperature that goes with it, in °C.
        air_before: Box temperature measured with the previous record, in °C.

    Returns:
        Heater and box temperature after the update in °C, measured minus estimated box temperature, the number of
        records since the filter was started, and the heat loss that it reckons with in W/K.
    """
    if not state.started:
        start(state, x0_heater, x0_air)
    elif calibrated and adaptation_changed and state.records > 0:  # else new parameters have come since
        state.G_box_adapted = G_box_fitted
        place(state, heater_before, air_before)
    state.records += 1
    loss = state.G_box_adapted if state.G_box_adapted > 0.0 else G_box
    h = step_s if step_s > 0.0 else dt_s

    # (I - hA)⁻¹ of A = [[-a, a], [b, -b - c]] in closed form; every term of the determinant is positive.
    a = h * G_heater / C_heater
    b = h * G_heater / C_air
    c = h * loss / C_air
    scale = 1.0 / (1.0 + a + b + c + a * c)
    f_00, f_01 = scale * (1.0 + b + c), scale * a
    f_10, f_11 = scale * b, scale * (1.0 + a)
    heating = h * V_heater * I_heater / C_heater if heater_on else 0.0
    room = c * room_temperature
    q = noise * noise * h * h
    predict_2(
        state.x,
        state.P,
        f_00,
        f_01,
        f_10,
        f_11,
        f_00 * heating + f_01 * room,
        f_10 * heating + f_11 * room,
        q * h * h / 4.0,
        q * h / 2.0,
        q,
    )
    update_2(state.x, state.P, 0.0, 1.0, average_temperature, noise)
    return state.x[0], state.x[1], average_temperature - state.x[1], state.records, loss


def start(state: State, heater: float, air: float) -> None:
    """Start the filter at two temperatures in °C."""
    state.started = True
    state.records = 0
    place(state, heater, air)


def place(state: State, heater: float, air: float) -> None:
    """Set the filter to two temperatures in °C, as sure of them as at the start."""
    state.x[0] = heater
    state.x[1] = air
    state.P[0, 0] = 0.001
    state.P[0, 1] = 0.0
    state.P[1, 0] = 0.0
    state.P[1, 1] = 0.001


def rebuild(state: State, average_temperature: float) -> None:
    """Start again for new parameters, from the last estimate of the heater and the last measured box temperature.

    A filter that has not seen a record yet will start at its start values. What was measured under the old parameters
    counts no more.
    """
    state.G_box_adapted = 0.0
    if state.started:
        start(state, state.x[0], average_temperature)


def adapt(state: State, enabled: bool, average_temperature: float) -> None:
    """Go back to the parameters' own heat loss when the self-adaptation is switched off."""
    if not enabled and state.G_box_adapted > 0.0:
        rebuild(state, average_temperature)
