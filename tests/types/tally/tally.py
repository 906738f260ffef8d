"""The one step of the tally."""

from typing import Any


def tallied(state: Any, value: float) -> tuple[float, float, float, float, bool]:
    """Count, sum, minimum, maximum, and whether this is a tenth record."""
    state.least = min(state.least, value) if state.taken else value
    state.most = max(state.most, value) if state.taken else value
    state.taken += 1
    state.sum += value
    return float(state.taken), state.sum, state.least, state.most, state.taken % 10 == 0
