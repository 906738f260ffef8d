"""Steps of a type that uses every key."""

from twins.functions.built_in import State


def judge(state: State, before: float, now: float, limit: float) -> tuple[float, float]:
    """How far a level has moved, and its share of the limit."""
    state.seen[0] = now
    return now - before, now / limit


def clear(state: State, hard: float) -> str | None:
    """Forget the level."""
    if hard:
        state.seen[:] = 0.0
    return None


def slow(level: float, limit: float) -> bool:
    """Whether a level is too high."""
    return level > limit
