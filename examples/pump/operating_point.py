"""Where a centrifugal pump works, by its maker's curves and the pipe's, with SciPy as it is."""

import math

from curves import GREATEST_FLOW, NOMINAL_RPM, efficiency, head, npsh_required
from scipy.optimize import brentq

DENSITY, GRAVITY = 998.2, 9.80665
LEAST_FLOW = 1.0
"""In m³/h; less is the meter's noise."""
GREATEST_RATIO = 1.2
"""Largest speed by the nominal one."""


def solve(
    suction_pressure: float,
    discharge_pressure: float,
    flow: float,
    speed: float,
    power: float,
    temperature: float,
    flow_desired: float,
    static_head: float,
    resistance: float,
    suction_diameter: float,
) -> tuple[float, float, float, float, float, float]:
    """Find the operating point, and the speed for another one.

    Affinity laws, r = speed / nominal speed: head r²·H(Q/r), required NPSH r²·N(Q/r), efficiency η(Q/r).

        r²·H(Q/r) = static head + resistance · Q²            solved for Q at this speed, and for r at the wanted flow
        NPSH available = (p_suction - p_vapour) / (density · g) + v² / 2g

    Source: J. F. Gülich, Centrifugal Pumps, 3rd ed. (2014), chapters 2, 6 and 11.

    Args:
        suction_pressure: Absolute, in kPa.
        discharge_pressure: Absolute, in kPa.
        flow: In m³/h.
        speed: In rpm.
        power: Electrical, in kW.
        temperature: Of the water in °C.
        flow_desired: In m³/h.
        static_head: In m.
        resistance: In m by (m³/h)².
        suction_diameter: In m.

    Returns:
        Measured head in m; expected flow in m³/h; efficiency and what is missing to the maker's one, both 0 without
        flow; NPSH margin in m; speed for the wanted flow in rpm.
    """
    ratio = speed / NOMINAL_RPM
    measured_head = (discharge_pressure - suction_pressure) * 1000.0 / (DENSITY * GRAVITY)
    velocity = flow / 3600.0 / (math.pi * suction_diameter**2 / 4.0)
    available = (suction_pressure - vapour_pressure(temperature)) * 1000.0 / (DENSITY * GRAVITY)
    available += velocity**2 / (2.0 * GRAVITY)
    found = deficit = required = 0.0
    if flow >= LEAST_FLOW and power > 0.0 and ratio > 0.0:
        found = DENSITY * GRAVITY * flow / 3600.0 * measured_head / (power * 1000.0)
        relative = min(flow / ratio, GREATEST_FLOW)
        deficit = float(efficiency(relative)) - found
        required = ratio**2 * float(npsh_required(relative))
    return (
        measured_head,
        operating_flow(ratio, static_head, resistance),
        found,
        deficit,
        available - required,
        NOMINAL_RPM * needed_ratio(flow_desired, static_head, resistance),
    )


def operating_flow(ratio: float, static_head: float, resistance: float) -> float:
    """Flow in m³/h at which pump and pipe agree; 0 when the pump is too slow, the curve's end when it ends first."""

    def surplus(flow: float) -> float:
        return float(ratio**2 * head(flow / ratio)) - static_head - resistance * flow**2

    if ratio <= 0.0 or surplus(0.0) <= 0.0:
        return 0.0
    last = ratio * GREATEST_FLOW
    return last if surplus(last) >= 0.0 else float(brentq(surplus, 0.0, last, xtol=1e-9))


def needed_ratio(flow: float, static_head: float, resistance: float) -> float:
    """Speed by the nominal one at which this flow is reached, at most `GREATEST_RATIO`."""
    wanted = static_head + resistance * flow**2

    def surplus(ratio: float) -> float:
        return float(ratio**2 * head(flow / ratio)) - wanted

    least = max(flow / GREATEST_FLOW, 1e-3)
    if surplus(GREATEST_RATIO) <= 0.0:
        return GREATEST_RATIO
    return least if surplus(least) >= 0.0 else float(brentq(surplus, least, GREATEST_RATIO, xtol=1e-12))


def vapour_pressure(temperature: float) -> float:
    """Of water, in kPa, at 1 to 100 °C: Antoine's equation, whose constants give mmHg."""
    return 10.0 ** (8.07131 - 1730.63 / (233.426 + temperature)) * 0.133322
