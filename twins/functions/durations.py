"""Durations that add up exactly."""


def to_ns(duration_s: float) -> int:
    """Whole nanoseconds of a duration in seconds.

    Event times are integer nanoseconds, so `to_ns(dt_s)` gives back the exact interval (up to some days), and
    sums of it compare exactly with other durations; sums of floats do not.
    """
    return round(duration_s * 1e9)
