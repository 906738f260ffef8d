"""Mean, variance and moving average of three values."""

from twins.functions.built_in import State

WEIGHT = 0.1
"""Of a new value in its moving average."""

EVERY = 101
"""A record is reported when its time in microseconds can be divided by this."""


def follow(
    state: State, t1: float, t2: float, t3: float, records: int, time_ns: int
) -> tuple[float, float, float, float, float, float, float, float, float, bool]:
    """Take one record into the statistics of its device.

    mean += (value - mean) / n;  m2 += (value - old mean) · (value - new mean);  variance = m2 / (n - 1), 0 for n = 1.
    Source: B. P. Welford, Technometrics 4 (1962) 419-420.

    Args:
        state: `mean`, `m2` and `average` of the three values.
        t1: First value.
        t2: Second value.
        t3: Third value.
        records: Records of this device so far, this one included.
        time_ns: Event time.

    Returns:
        Means, variances and moving averages of the three, and whether this record is reported.
    """
    take(state, 0, t1, records)
    take(state, 1, t2, records)
    take(state, 2, t3, records)
    freedom = max(records - 1, 1)
    mean, m2, average = state.mean, state.m2, state.average
    return (
        mean[0],
        mean[1],
        mean[2],
        m2[0] / freedom,
        m2[1] / freedom,
        m2[2] / freedom,
        average[0],
        average[1],
        average[2],
        time_ns // 1000 % EVERY == 0,
    )


def take(state: State, place: int, value: float, records: int) -> None:
    """Take one value into what is kept at its place."""
    deviation = value - state.mean[place]
    state.mean[place] += deviation / records
    state.m2[place] += deviation * (value - state.mean[place])
    state.average[place] = value if records == 1 else state.average[place] + WEIGHT * (value - state.average[place])
