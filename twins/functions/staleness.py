"""Whether a value has not changed, or not come, for too long."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, Constant, State
from twins.functions.durations import to_ns
from twins.functions.ranges import LONGEST_S, NotNegative


class StalenessConfig(Strict):
    """Settings of `staleness`.

    Attributes:
        max_age_s: It is stale when nothing happened for longer than this.
        since: What must happen: a `change` of the value, or any `record`.
        band: A change is one of more than this, in the unit of the value.
    """

    max_age_s: Annotated[float, Field(gt=0, le=LONGEST_S)]
    since: Literal["change", "record"] = "change"
    band: NotNegative = 0.0


def staleness(state: State, value: float, time_ns: int, max_age_ns: int, band: float) -> tuple[bool, float]:
    """Say whether the value stands still: a sensor that is stuck, or that no longer sends.

    age = event time - time of the last change, in seconds; stale when age > max_age_s. A change is
    |value - value of the last change| > band. With `since: record` the argument is `records` instead, the twin's
    number of records, and each one counts. With `runs_on: records` it is judged only when a record comes;
    `runs_on: both` lets ticks judge, too, which find a silent twin. A late record makes nothing older.
    Source: the status Uncertain_LastUsableValue of OPC 10000-8, OPC UA Data Access: what updated the value has stopped.

    Args:
        state: The value at the last change (`last`), its time (`since_ns`), and `started` once there was one.
        value: The value.
        time_ns: Event time of the record or tick.
        max_age_ns: Longest permitted age.
        band: Largest difference that is no change.

    Returns:
        Whether it is stale, and the age in seconds.
    """
    if not state.started or abs(value - state.last) > band:
        state.since_ns = max(time_ns, state.since_ns) if state.started else time_ns
        state.last = value
        state.started = True
    age_ns = max(time_ns - state.since_ns, 0)
    return age_ns > max_age_ns, age_ns * 1e-9


def record_staleness(state: State, records: int, time_ns: int, max_age_ns: int) -> tuple[bool, float]:
    """Do the same for the number of records, each of which is a change."""
    return staleness(state, float(records), time_ns, max_age_ns, 0.5)


def _make(config: StalenessConfig) -> BoundStep:
    of_change = config.since == "change"
    constants: dict[str, Constant] = {"max_age_ns": to_ns(config.max_age_s)}
    return BoundStep(
        function=staleness if of_change else record_staleness,
        arguments=("value", "time_ns") if of_change else ("records", "time_ns"),
        outputs={"stale": StepOutput(type="bool"), "age_s": StepOutput(unit="s")},
        state={
            "started": StateField(type="bool"),
            "last": StateField(),
            "since_ns": StateField(type="int", unit="ns"),
        },
        constants=constants | ({"band": config.band} if of_change else {}),
        units={"age_s": "s"},
    )


BUILT_IN = BuiltIn("staleness", StalenessConfig, _make, staleness.__doc__ or "", {"max_age_s": 600.0})
