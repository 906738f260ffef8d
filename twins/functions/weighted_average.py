"""Average of several fields with fixed weights."""

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.quantity import Strict
from schemas.step import StepOutput
from twins.functions.built_in import BoundStep, BuiltIn, constant_array
from twins.functions.generated import check_arguments, function_from


class WeightedAverageConfig(Strict):
    """Settings of `weighted_average`.

    Attributes:
        weights: Argument to weight, such as `{t1: 1, t2: 1}`; only the proportions count.
    """

    weights: Annotated[dict[str, float], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _usable(self) -> Self:
        check_arguments(self.weights, taken={"weights"})
        if not all(math.isfinite(weight) and weight >= 0 for weight in self.weights.values()):
            message = "weights must be finite and not negative"
            raise ValueError(message)
        if not math.isfinite(sum(self.weights.values())) or sum(self.weights.values()) <= 0:
            message = "the sum of the weights must be finite and above 0"
            raise ValueError(message)
        return self


def _make(config: WeightedAverageConfig) -> BoundStep:
    """Give the average of several fields: Σ weight · value / Σ weight, in the unit of the values.

    With weights 1 / variance it is the most likely value of independent measurements of the same quantity.
    Source: P. R. Bevington, D. K. Robinson, Data Reduction and Error Analysis for the Physical Sciences, 3rd ed.
    (2003), chapter 4.
    """
    total = sum(config.weights.values())
    products = " + ".join(f"weights[{index}] * {name}" for index, name in enumerate(config.weights))
    source = f"def weighted_average({', '.join(config.weights)}, weights):\n    return {products}\n"
    arguments = tuple(config.weights)
    return BoundStep(
        function=function_from(source, "weighted_average", {}),
        arguments=arguments,
        outputs={"average": StepOutput()},
        units=dict.fromkeys([*arguments[1:], "average"], f"{{{arguments[0]}}}"),
        constants={"weights": constant_array([weight / total for weight in config.weights.values()])},
    )


BUILT_IN = BuiltIn(
    "weighted_average", WeightedAverageConfig, _make, _make.__doc__ or "", {"weights": {"t1": 1.0, "t2": 1.0}}
)
