"""Minimum, maximum and mean over tumbling or hopping windows of event time."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, Constant, State
from twins.functions.durations import to_ns
from twins.functions.ranges import Duration
from twins.functions.window_grace import window_with_grace

PANES_MAX = 64

Seconds = Annotated[float, Field(ge=1e-9, le=1e9)]


class WindowStatisticsConfig(Strict):
    """Settings of `window_statistics`.

    Attributes:
        window_s: How long a window is.
        hop_s: How long after each other windows begin, a whole part of `window_s`; one after the other unless given.
        grace_s: How long after its end a window closes, so that late values still count in it. Late records reach a
            step only where the type says `late: flag`.
    """

    window_s: Seconds
    hop_s: Seconds | None = None
    grace_s: Duration = 0.0

    @model_validator(mode="after")
    def _whole_hops(self) -> Self:
        panes, rest = divmod(to_ns(self.window_s), self.hop_ns)
        if rest or not 1 <= panes <= PANES_MAX:
            message = f"window_s must be 1 to {PANES_MAX} times hop_s, not {self.window_s} s of {self.hop_s} s"
            raise ValueError(message)
        if self.slots > PANES_MAX:
            message = f"grace_s must be shorter: window_s and twice grace_s make up more than {PANES_MAX - 2} hops"
            raise ValueError(message)
        return self

    @property
    def panes(self) -> int:
        """Hops that make up a window."""
        return to_ns(self.window_s) // self.hop_ns

    @property
    def slots(self) -> int:
        """Panes that must be remembered.

        A window and those that wait for the end of their grace. After a gap these are given one with each record, which
        may come into new panes meanwhile, as many.
        """
        waiting = -(-to_ns(self.grace_s) // self.hop_ns)
        return self.panes + 2 * waiting + 2 if waiting else self.panes

    @property
    def hop_ns(self) -> int:
        """Whole nanoseconds from one window to the next."""
        return to_ns(self.window_s if self.hop_s is None else self.hop_s)


def window_statistics(state: State, value: float, time_ns: int, hop_ns: int) -> tuple[float, float, float, bool]:
    """Give the statistics of the window that closed last.

    Windows begin at whole multiples of the hop since the Unix epoch, the beginning inside and the end outside. The
    first record at or after the end of the window that its forerunner was in, closes that window; the record itself
    belongs to later ones. A gap that is longer than the hop closes several: the first of them, which holds every value
    of the others, is given. A late record still counts in windows that are open. Until a window has closed, all three
    are the first value. Results have the unit of `value`.
    With a grace a window closes with the first record at or after its end and the grace; only windows are given whose
    last hop holds a value, one with each record and the earliest first, so that several that are due at once follow
    with the next records. A late value counts in every window that was not given yet, unless its last one is over.
    Source: panes shared by overlapping windows, J. Li et al., No Pane, No Gain, SIGMOD Record 34 (2005) 39-44.

    Args:
        state: For each of n panes, which are one hop long and make up a window, the `number` since the epoch, `count`,
            `total`, `low` and `high` of its values; the `newest` pane; the last results; `started`.
        value: The new value.
        time_ns: Its event time.
        hop_ns: Length of a pane.

    Returns:
        Minimum, maximum and mean of the window that closed last, and whether it closed with this record.
    """
    pane, panes = time_ns // hop_ns, state.number.shape[0]
    if not state.started:
        state.started = True
        state.newest = pane
        state.minimum = state.maximum = state.mean = value
    closed = pane > state.newest
    if closed:
        count, total = 0, 0.0
        for slot in range(panes):
            if state.count[slot] > 0 and state.number[slot] > state.newest - panes:
                state.minimum = state.low[slot] if count == 0 else min(state.minimum, state.low[slot])
                state.maximum = state.high[slot] if count == 0 else max(state.maximum, state.high[slot])
                count += state.count[slot]
                total += state.total[slot]
        state.mean = total / count
        state.newest = pane
    if pane > state.newest - panes:
        slot = pane % panes
        if state.count[slot] == 0 or state.number[slot] != pane:
            state.number[slot] = pane
            state.count[slot] = 0
            state.total[slot] = 0.0
            state.low[slot] = state.high[slot] = value
        state.count[slot] += 1
        state.total[slot] += value
        state.low[slot] = min(state.low[slot], value)
        state.high[slot] = max(state.high[slot], value)
    return state.minimum, state.maximum, state.mean, closed


def _make(config: WindowStatisticsConfig) -> BoundStep:
    slots = config.slots
    state = {
        "started": StateField(type="bool"),
        "number": StateField(type="int", unit="1", shape=(slots,)),
        "count": StateField(type="int", unit="1", shape=(slots,)),
        "total": StateField(shape=(slots,)),
        "low": StateField(shape=(slots,)),
        "high": StateField(shape=(slots,)),
        "minimum": StateField(),
        "maximum": StateField(),
        "mean": StateField(),
    }
    constants: dict[str, Constant] = {"hop_ns": config.hop_ns}
    if config.grace_s:
        state |= {
            "newest_ns": StateField(type="int", unit="ns"),
            "pending": StateField(type="bool", shape=(slots,)),
        }
        constants |= {"panes": config.panes, "grace_ns": to_ns(config.grace_s)}
    else:
        state["newest"] = StateField(type="int", unit="1")
    return BoundStep(
        function=window_with_grace if config.grace_s else window_statistics,
        arguments=("value", "time_ns"),
        outputs={
            "minimum": StepOutput(),
            "maximum": StepOutput(),
            "mean": StepOutput(),
            "closed": StepOutput(type="bool"),
        },
        state=state,
        constants=constants,
        units=dict.fromkeys(("minimum", "maximum", "mean"), "{value}"),
    )


BUILT_IN = BuiltIn(
    "window_statistics",
    WindowStatisticsConfig,
    _make,
    window_statistics.__doc__ or "",
    {"window_s": 60.0, "hop_s": 20.0},
)
