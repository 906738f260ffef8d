"""Water balance of an upright tank."""

from twins.functions.built_in import State


def missing_flow(
    state: State, level_m: float, inflow: float, outflow: float, area: float, dt_s: float
) -> tuple[float, float]:
    """Compare what flowed with what the level says.

    missing = inflow - outflow - area · Δlevel / Δt: the rate at which water leaves by another way.

    Args:
        state: Level of the previous record, once there was one.
        level_m: Level in m.
        inflow: Metered flow into the tank since the previous record, m³/s.
        outflow: Metered flow out of it, m³/s.
        area: Cross-section in m².
        dt_s: Seconds since the previous record.

    Returns:
        Volume in m³ and missing flow in m³/s, 0 where there is nothing to compare with.
    """
    missing = 0.0
    if state.started and dt_s > 0.0:
        missing = inflow - outflow - area * (level_m - state.level_m) / dt_s
    state.started = True
    state.level_m = level_m
    return area * level_m, missing
