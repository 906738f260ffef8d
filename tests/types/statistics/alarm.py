"""One step of the statistics type."""


def above(value, limit):
    """Whether the value is above its limit."""
    return value > limit
