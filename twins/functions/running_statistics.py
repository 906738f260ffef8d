"""Count, mean and variance of everything a twin has seen."""

from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, NoConfig, State


def running_statistics(state: State, value: float) -> tuple[int, float, float]:
    """Take one value into count, mean and sample variance.

    mean += (value - mean) / n;  m2 += (value - old mean) · (value - new mean);  variance = m2 / (n - 1), 0 for n = 1.
    Source: B. P. Welford, Technometrics 4 (1962) 419-420. The mean has the unit of `value`, the variance its square.

    Args:
        state: `count`, `mean` and `m2`, the sum of squared deviations.
        value: The new value.

    Returns:
        Count, mean and variance, this value included.
    """
    state.count += 1
    deviation = value - state.mean
    state.mean += deviation / state.count
    state.m2 += deviation * (value - state.mean)
    variance = state.m2 / (state.count - 1) if state.count > 1 else 0.0
    return state.count, state.mean, variance


def _make(_config: NoConfig) -> BoundStep:
    return BoundStep(
        function=running_statistics,
        arguments=("value",),
        outputs={"count": StepOutput(type="int", unit="1"), "mean": StepOutput(), "variance": StepOutput()},
        state={"count": StateField(type="int"), "mean": StateField(), "m2": StateField()},
        units={"mean": "{value}", "variance": "{delta value}**2"},
    )


BUILT_IN = BuiltIn("running_statistics", NoConfig, _make, running_statistics.__doc__ or "")
