"""A value in another unit."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.quantity import Strict
from schemas.step import StepOutput
from schemas.units import Linear, UnknownUnitError, check_unit, conversion
from twins.functions.built_in import BoundStep, BuiltIn


def _known(unit: str) -> str:
    try:
        check_unit(unit)
    except UnknownUnitError as error:
        kept = {"message": str(error), "remedy": error.remedy}
        raise PydanticCustomError("unit", "{message}", kept) from None
    return unit


Unit = Annotated[str, Field(min_length=1), AfterValidator(_known)]


class UnitConversionConfig(Strict):
    """Settings of `unit_conversion`.

    Attributes:
        source: The unit of the value, by the names of pint, such as `degC` or `m**3/h`.
        to: The unit of the result.
    """

    source: Unit = Field(alias="from")
    to: Unit

    @model_validator(mode="after")
    def _compatible(self) -> Self:
        if conversion(self.source, self.to) is None:
            message = (
                f"to ({self.to}) is no unit that {self.source} can become: name two of the same kind, without decibels"
            )
            raise ValueError(message)
        return self


def unit_conversion(value: float, factor: float, offset: float) -> float:
    """Convert a value: factor · value + offset, from the unit `from` to the unit `to`.

    A temperature is one of its scale: 20 degC become 293.15 K, while 20 delta_degC, a difference, become 20 K.
    Source: the units and constants of pint, which are those of the SI brochure, 9th ed. (2019), and CODATA.

    Args:
        value: The value.
        factor: Units of the result in one of the value.
        offset: Result where the value is 0.

    Returns:
        The converted value.
    """
    return factor * value + offset


def _make(config: UnitConversionConfig) -> BoundStep:
    linear = conversion(config.source, config.to) or Linear(1.0, 0.0)
    return BoundStep(
        function=unit_conversion,
        arguments=("value",),
        outputs={"converted": StepOutput()},
        constants={"factor": linear.factor, "offset": linear.offset},
        units={"value": config.source, "converted": config.to},
    )


BUILT_IN = BuiltIn(
    "unit_conversion", UnitConversionConfig, _make, unit_conversion.__doc__ or "", {"from": "degC", "to": "K"}
)
