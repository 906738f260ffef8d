"""Windows that wait for late values before they close; the part of `window_statistics` with a grace."""

from twins.functions.built_in import State


def window_with_grace(
    state: State, value: float, time_ns: int, hop_ns: int, panes: int, grace_ns: int
) -> tuple[float, float, float, bool]:
    """Give the statistics of the window that closed last, each one only once its grace is over.

    Args:
        state: For each of the remembered panes, in no order, the `number` since the epoch, `count`, `total`, `low` and
            `high` of its values, and whether the window that ends with it is to be given (`pending`); the latest event
            time (`newest_ns`); the last results; `started`.
        value: The new value.
        time_ns: Its event time.
        hop_ns: Length of a pane.
        panes: How many make up a window.
        grace_ns: How long after its end a window closes.

    Returns:
        Minimum, maximum and mean of the window that closed last, and whether it closed with this record.
    """
    if not state.started:
        state.started = True
        state.newest_ns = time_ns
        state.minimum = state.maximum = state.mean = value
    state.newest_ns = max(state.newest_ns, time_ns)
    # The window that ends with a pane before this one has had its grace.
    due = (state.newest_ns - grace_ns) // hop_ns
    first = -1
    for slot in range(state.number.shape[0]):
        if state.pending[slot] and state.number[slot] < due and (first < 0 or state.number[slot] < state.number[first]):
            first = slot
    if first >= 0:
        give(state, state.number[first], panes)
        state.pending[first] = False
    take(state, value, time_ns // hop_ns, due, panes)
    return state.minimum, state.maximum, state.mean, first >= 0


def give(state: State, last: int, panes: int) -> None:
    """Work out the results of the window whose last pane has the number `last`."""
    count, total = 0, 0.0
    for slot in range(state.number.shape[0]):
        if state.count[slot] > 0 and last - panes < state.number[slot] <= last:
            state.minimum = state.low[slot] if count == 0 else min(state.minimum, state.low[slot])
            state.maximum = state.high[slot] if count == 0 else max(state.maximum, state.high[slot])
            count += state.count[slot]
            total += state.total[slot]
    state.mean = total / count


def take(state: State, value: float, pane: int, due: int, panes: int) -> None:
    """Count a value in its pane, if any window with it is still to be given."""
    if not wanted(state, pane, due, panes):
        return
    slots = state.number.shape[0]
    slot = pane % slots
    if state.count[slot] == 0 or state.number[slot] != pane:
        slot = place(state, pane, due, panes)
    if state.count[slot] == 0:
        state.number[slot] = pane
        state.pending[slot] = pane >= due
        state.total[slot] = 0.0
        state.low[slot] = state.high[slot] = value
    state.count[slot] += 1
    state.total[slot] += value
    state.low[slot] = min(state.low[slot], value)
    state.high[slot] = max(state.high[slot], value)


def wanted(state: State, pane: int, due: int, panes: int) -> bool:
    """Whether a window with this pane is still to be given."""
    if pane + panes > due:
        return True
    for slot in range(state.number.shape[0]):
        if state.pending[slot] and state.number[slot] - panes < pane <= state.number[slot]:
            return True
    return False


def place(state: State, pane: int, due: int, panes: int) -> int:
    """Slot of a pane: where it is, or one that nothing needs any more, emptied."""
    slots: int = state.number.shape[0]
    oldest: int = pane % slots
    for step in range(slots):
        slot = (pane + step) % slots
        if state.count[slot] > 0 and state.number[slot] == pane:
            return slot
    for step in range(slots):
        slot = (pane + step) % slots
        if state.count[slot] == 0 or not wanted(state, state.number[slot], due, panes):
            state.count[slot] = 0
            return slot
        if state.number[slot] < state.number[oldest]:
            oldest = slot
    # There are as many slots as can be needed, so that this is never reached.
    state.count[oldest] = 0
    return oldest
