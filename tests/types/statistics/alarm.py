"""One step of the statistics type."""


def above(value: float, limit: float) -> bool:
    """Whether the value is above its limit."""
    return value > limit
