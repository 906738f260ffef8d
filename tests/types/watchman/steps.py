"""Steps that time alone moves on."""

from typing import Any


def counted(state: Any, dt_s: float, records: int, patience_s: float) -> tuple[float, float]:
    """How long nothing came, and all time so far, folded so that every tick counts."""
    if records != state.records:
        state.records = records
        state.idle_s = 0.0
    else:
        state.idle_s += dt_s
    state.total = 0.999 * state.total + dt_s * patience_s
    return state.idle_s, state.total


def alarm(idle_s: float, patience_s: float) -> bool:
    """Give up waiting."""
    return idle_s > patience_s
