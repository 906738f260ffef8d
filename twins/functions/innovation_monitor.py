"""Whether a filter's model still fits the plant: normalised innovation squared, summed up by CUSUM."""

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, Constant, State, constant_array
from twins.functions.generated import check_arguments, function_from
from twins.functions.matrices import SIZE_LIMIT, Names
from twins.functions.ranges import Positive

Positives = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=SIZE_LIMIT, strict=False)]


class InnovationMonitorConfig(Strict):
    """Settings of `innovation_monitor`.

    Attributes:
        innovations: Names of the p arguments with the innovations; they should be independent of each other.
        variances: Names of the p arguments with their variances; `[variance]` unless given.
        known_variances: Instead, the p variances themselves, in the units of the innovations squared.
        inflation: How many times larger than expected the innovations' variance is in a drift that should be found.
        false_alarm_records: A twin that fits raises a false alarm once in so many records on average, or more rarely.
    """

    innovations: Annotated[Names, Field(min_length=1)] = ("innovation",)
    variances: Annotated[Names, Field(min_length=1)] | None = None
    known_variances: Positives | None = None
    inflation: Annotated[float, Field(ge=1.01, le=1e6)] = 2.0
    false_alarm_records: Annotated[float, Field(ge=10.0, le=1e100)] = 1e6

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.variances is not None and self.known_variances is not None:
            message = "give variances, the names of arguments, or known_variances, not both"
            raise ValueError(message)
        if len(self.known_variances or self.variance_names) != len(self.innovations):
            message = f"{len(self.innovations)} innovations need as many variances"
            raise ValueError(message)
        check_arguments(
            (*self.innovations, *self.variance_names), taken={"state", "shares", "gain", "allowance", "threshold"}
        )
        return self

    @property
    def variance_names(self) -> tuple[str, ...]:
        """Arguments that are variances."""
        return () if self.known_variances else self.variances or ("variance",)


def accumulate(state: State, nis: float, gain: float, allowance: float, threshold: float) -> tuple[float, float, bool]:
    """Take the normalised innovation squared of one record into the sum.

    Args:
        state: `cusum` and `drifting`.
        nis: Normalised innovation squared.
        gain: (1 - 1/c) / 2, c being the inflation.
        allowance: p/2 · ln c.
        threshold: Where drifting begins.

    Returns:
        The NIS, the sum, and whether it drifts.
    """
    state.cusum = min(max(state.cusum + gain * nis - allowance, 0.0), threshold)
    if state.cusum >= threshold:
        state.drifting = True
    elif state.cusum <= 0.0:
        state.drifting = False
    return nis, state.cusum, state.drifting


def _source(config: InnovationMonitorConfig) -> str:
    names = config.innovations
    below = config.variance_names or [f"shares[{index}]" for index in range(len(names))]
    nis = " + ".join(f"{name} * {name} / {variance}" for name, variance in zip(names, below, strict=True))
    shares = ["shares"] if config.known_variances else []
    arguments = ["state", *names, *config.variance_names, *shares, "gain", "allowance", "threshold"]
    return (
        f"def innovation_monitor({', '.join(arguments)}):\n"
        f"    return _accumulate(state, {nis}, gain, allowance, threshold)\n"
    )


def _make(config: InnovationMonitorConfig) -> BoundStep:
    """Find out that a filter's innovations have become larger than its model says: the twin drifts from its plant.

    nis = Σ innovation² / variance, without unit. While the model fits it has the chi-square distribution with p degrees
    of freedom, p the number of innovations, mean p, if they are independent, as those of `kalman_filter` and
    `extended_kalman_filter` are. The CUSUM adds up the logarithm of how much more likely it is under variances that are
    c = `inflation` times as large, the ratio of two chi-square densities:
    cusum = max(0, cusum + (1 - 1/c)/2 · nis - p/2 · ln c).
    It drifts once the sum reaches h = ln(`false_alarm_records`), where the sum is cut off, until it is back at 0. With
    this h the mean number of records between false alarms is at least `false_alarm_records`, whatever c. Variances must
    be above 0.
    Source: normalised innovation squared: Y. Bar-Shalom, X. R. Li, T. Kirubarajan, Estimation with Applications to
    Tracking and Navigation (2001), section 5.4; CUSUM: E. S. Page, Biometrika 41 (1954) 100-115; the bound on false
    alarms: G. Lorden, Annals of Mathematical Statistics 42 (1971) 1897-1908.

    Outputs are the NIS of this record, the sum, and whether it drifts.
    """
    constants: dict[str, Constant] = (
        {"shares": constant_array(config.known_variances)} if config.known_variances else {}
    )
    places = dict.fromkeys(config.innovations, "config.innovations") if "innovations" in config.model_fields_set else {}
    return BoundStep(
        function=function_from(_source(config), "innovation_monitor", {"_accumulate": accumulate}),
        arguments=(*config.innovations, *config.variance_names),
        outputs={"nis": StepOutput(unit="1"), "cusum": StepOutput(unit="1"), "drifting": StepOutput(type="bool")},
        state={"cusum": StateField(unit="1"), "drifting": StateField(type="bool")},
        constants=constants
        | {
            "gain": (1.0 - 1.0 / config.inflation) / 2.0,
            "allowance": len(config.innovations) / 2.0 * math.log(config.inflation),
            "threshold": math.log(config.false_alarm_records),
        },
        places=places,
        units={
            variance: f"{{delta {innovation}}}**2"
            for innovation, variance in zip(config.innovations, config.variance_names, strict=False)
        },
    )


BUILT_IN = BuiltIn(
    "innovation_monitor",
    InnovationMonitorConfig,
    _make,
    _make.__doc__ or "",
    {"inflation": 2.0, "false_alarm_records": 1e6},
)
