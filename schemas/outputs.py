"""What leaves a twin, as `twin.yaml` declares it."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.quantity import FieldName, Strict


class TimeseriesOutput(Strict):
    """What becomes time series: one line per accepted record.

    Attributes:
        fields: Names of outputs or inputs.
        tags: Names of twin tags that go along with the tag `twin`.
    """

    fields: tuple[FieldName, ...] = Field(default=(), strict=False)
    tags: tuple[FieldName, ...] = Field(default=(), strict=False)


class EventOutput(Strict):
    """An event on an edge of a boolean field.

    Attributes:
        when: The boolean field.
        severity: `info`, `warning` or `critical`.
        edge: `rising`, `falling` or `both`; before the first record the field counts as false.
        data: Fields that go along.
    """

    when: FieldName
    edge: Literal["rising", "falling", "both"] = "rising"
    severity: Literal["info", "warning", "critical"] = "info"
    data: tuple[FieldName, ...] = Field(default=(), strict=False)


class CommandOutput(Strict):
    """A command whose value follows a field.

    It leaves with a twin's first record, when the value changes, and again with the first record at least
    `refresh_s` of event time after the last command of this name.

    Attributes:
        field: The field whose value is commanded.
        type: Type of the value that the device gets.
        unit: Its unit; that of the field.
        range: Smallest and largest value that may leave, both inclusive; what lies outside is refused.
        refresh_s: 0 for never.
        expires_s: Time to live, counted from the arrival of the cause.
    """

    field: FieldName
    type: Literal["float", "int", "bool"] = "float"
    unit: str = ""
    range: tuple[float, float] | None = Field(default=None, strict=False)
    refresh_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    expires_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.range and not (all(map(math.isfinite, self.range)) and self.range[0] <= self.range[1]):
            message = f"range {list(self.range)} must be two finite numbers, the smaller first"
            raise ValueError(message)
        return self


class Outputs(Strict):
    """What leaves a twin.

    Attributes:
        timeseries: What is stored over time.
        events: Event name to what sets it off.
        commands: Command name to what is commanded.
        metadata: Fields that belong into the twin's document.
    """

    timeseries: TimeseriesOutput = TimeseriesOutput()
    events: dict[FieldName, EventOutput] = Field(default_factory=dict)
    commands: dict[FieldName, CommandOutput] = Field(default_factory=dict)
    metadata: tuple[FieldName, ...] = Field(default=(), strict=False)
