# ruff: noqa: FBT001  # arguments bear the names of the fields they are wired to
"""Water balance of an upright tank."""

from twins.functions.built_in import State


def follow(
    state: State,
    level_m: float,
    level_m_outside: bool,
    inflow: float,
    outflow: float,
    area: float,
    level_noise: float,
    flow_noise: float,
    dt_s: float,
) -> tuple[float, float, float, float]:
    """Compare what flowed with what the level says.

    missing = (∫ (inflow - outflow) dt - area · Δlevel) / Δt from one level that was measured to the next: the rate at
    which water leaves by another way. The level is also followed by a Kalman filter with one state, which expects

        Δlevel = ∫ (inflow - outflow) dt / area

    with the noise of meters and sensor; its innovations show a loss long before it can be told from the waves. A level
    that stays the same to the last digit was not measured anew: the sensor is silent, or another twin's word came in.

    Args:
        state: The last level that was measured and what flowed since then; the filter's level and variance.
        level_m: Level in m.
        level_m_outside: Whether the sensor said what can't be, so that it measured nothing.
        inflow: Metered flow into the tank since the previous record, m³/s.
        outflow: Metered flow out of it, m³/s.
        area: Cross-section in m².
        level_noise: Standard deviation of the level sensor in m.
        flow_noise: Standard deviation of the metered net flow within a second in m³/s.
        dt_s: Seconds since the previous record.

    Returns:
        Volume in m³, missing flow in m³/s as of the last measured level, innovation in m, 0 without a new level, and
        its variance in m².
    """
    sensor = level_noise * level_noise
    if not state.started:
        state.started = True
        state.measured = state.level = level_m
        state.variance = sensor
        return area * level_m, 0.0, 0.0, sensor
    net = (inflow - outflow) * dt_s
    state.since += dt_s
    state.net += net
    state.level += net / area
    state.variance += dt_s * (flow_noise / area) ** 2
    if level_m_outside or level_m == state.measured or state.since <= 0.0:
        return area * level_m, state.missing, 0.0, state.variance + sensor
    state.missing = (state.net - area * (level_m - state.measured)) / state.since
    state.measured, state.since, state.net = level_m, 0.0, 0.0
    innovation, expected = level_m - state.level, state.variance + sensor
    gain = state.variance / expected
    state.level += gain * innovation
    state.variance *= 1.0 - gain
    return area * level_m, state.missing, innovation, expected
