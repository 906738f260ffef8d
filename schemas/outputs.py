"""What leaves a twin, as `twin.yaml` declares it."""

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.expression import parse_condition
from schemas.quantity import FieldName, Strict
from schemas.route import Route


def _is_no_condition(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    if isinstance(value, str) and re.search(r"[<>=!()+*/]|\b(and|or|not)\b", value):
        message = f"{ascii(value)[:80]} is a condition, and here the name of a bool field is needed"
        remedy = "let a step give it as an output of type bool, such as threshold or a function of the folder"
        raise PydanticCustomError("condition", "{message}", {"message": message, "remedy": remedy})
    return value


BooleanField = Annotated[FieldName, BeforeValidator(_is_no_condition)]
"""Name of a field that must be a boolean."""


class TimeseriesOutput(Strict):
    """What becomes time series.

    Attributes:
        fields: Names of outputs or inputs.
        tags: Names of twin tags that go along with the tag `twin`.
        when: What leads to a line: each accepted `record`, each `tick`, `both`; or of both those on which one of the
            fields has another value than before (`change`), or that are `interval_s` after the last line (`interval`).
        interval_s: Shortest event time between two lines of a twin, for `when: interval`.
        route: Twin that is told whenever a line is written.
    """

    fields: tuple[FieldName, ...] = Field(default=(), strict=False)
    tags: tuple[FieldName, ...] = Field(default=(), strict=False)
    route: Route | None = None
    when: Literal["record", "tick", "both", "change", "interval"] = "record"
    interval_s: Annotated[float, Field(ge=0, le=86400 * 366, allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _interval_where_it_counts(self) -> Self:
        if bool(self.interval_s) != (self.when == "interval"):
            message = "interval_s goes with when: interval, and must be greater than 0 there"
            raise ValueError(message)
        if self.when == "change" and not self.fields:
            message = "when: change needs fields: one of them has another value than before"
            raise ValueError(message)
        return self


class StatusOutput(Strict):
    """What makes a twin's status other than `ok`, unless it is quarantined.

    Attributes:
        drifting: The boolean field that says that the twin and its plant drift apart.
        stale: The boolean field that says that what the twin knows is too old; an input with `max_age_s` that is stale
            makes the twin stale, too. Drifting comes before stale.
    """

    drifting: BooleanField | None = None
    stale: BooleanField | None = None


class EventOutput(Strict):
    """An event on an edge of a boolean field, or on every record on which it is true.

    Attributes:
        when: The boolean field.
        severity: `info`, `warning` or `critical`.
        edge: `rising`, `falling` or `both`; before the first record the field counts as false. `each`: every record or
            tick on which the field is worked out and true, as when a step raises an event.
        data: Fields that go along.
        route: Twin that is told of every such event.
    """

    when: BooleanField
    edge: Literal["rising", "falling", "both", "each"] = "rising"
    severity: Literal["info", "warning", "critical"] = "info"
    data: tuple[FieldName, ...] = Field(default=(), strict=False)
    route: Route | None = None


def _as_condition(text: str) -> str:
    parse_condition(text)
    return text


ConditionText = Annotated[str, AfterValidator(_as_condition)]
"""A condition over fields and parameters; `schemas.expression` says what it may be made of."""


class Confirmation(Strict):
    """How a device shows that it did what it was told.

    Attributes:
        field: The field that takes the command's value.
        within_s: How long after the command, by event time.
        tolerance: Largest difference between field and command that still counts.
    """

    field: FieldName
    within_s: Annotated[float, Field(gt=0, le=86400 * 366, allow_inf_nan=False)]
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class CommandOutput(Strict):
    """A command whose value follows a field.

    It is wanted with a twin's first record, when the value changes, and again with the first record at least
    `refresh_s` of event time after the last command of this name. What is wanted leaves when it keeps to `range`,
    `max_rate`, `min_interval_s` and `interlocks`; otherwise it is refused, and leaves with the first later record that
    still wants it and at which it does. Each reason is told once until a record at which nothing holds the command
    back; what is not told is counted.

    Attributes:
        field: The field whose value is commanded.
        type: Type of the value that the device gets.
        unit: Its unit; that of the field.
        when: A boolean field: the command is wanted on every record or tick on which it is worked out and true, and at
            no other. Such a wish that is refused does not wait, and every one is told.
        refresh_s: 0 for never.
        expires_s: Time to live, counted from the arrival of the cause.
        range: Smallest and largest value that may leave, both inclusive.
        max_rate: Largest change per second of event time since the value that was last sent, in `unit` per second.
        min_interval_s: Shortest event time between two commands of this name.
        interlocks: Name to a condition over fields and parameters that must hold.
        confirm: How the device shows that it did what it was told; without that in time the command has failed.
        route: Twin that is told of every such command that leaves.
    """

    field: FieldName
    type: Literal["float", "int", "bool"] = "float"
    unit: str = ""
    when: BooleanField | None = None
    range: tuple[float, float] | None = Field(default=None, strict=False)
    refresh_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    expires_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    max_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    min_interval_s: Annotated[float, Field(ge=0, le=86400 * 366, allow_inf_nan=False)] = 0.0
    interlocks: Annotated[dict[FieldName, ConditionText], Field(max_length=100)] = Field(default_factory=dict)
    confirm: Confirmation | None = None
    route: Route | None = None

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.range and not (all(map(math.isfinite, self.range)) and self.range[0] <= self.range[1]):
            message = f"range {list(self.range)} must be two finite numbers, the smaller first"
            raise ValueError(message)
        if self.max_rate is not None and self.type == "bool":
            message = "max_rate needs type float or int: true and false have no rate"
            raise ValueError(message)
        if self.when is not None and self.refresh_s:
            message = "refresh_s repeats what follows a value: with `when` the field says when"
            raise ValueError(message)
        return self


class Outputs(Strict):
    """What leaves a twin.

    Attributes:
        timeseries: What is stored over time.
        events: Event name to what sets it off.
        commands: Command name to what is commanded.
        metadata: Fields that belong into the twin's document.
        status: Fields that make the twin's status `drifting` or `stale`.
    """

    timeseries: TimeseriesOutput = TimeseriesOutput()
    events: dict[FieldName, EventOutput] = Field(default_factory=dict)
    commands: dict[FieldName, CommandOutput] = Field(default_factory=dict)
    metadata: tuple[FieldName, ...] = Field(default=(), strict=False)
    status: StatusOutput = StatusOutput()

    def routes(self) -> dict[str, Route]:
        """Key path below `outputs` to the route there."""
        found = {"timeseries": self.timeseries.route}
        found |= {f"events.{name}": event.route for name, event in self.events.items()}
        found |= {f"commands.{name}": command.route for name, command in self.commands.items()}
        return {path: route for path, route in found.items() if route is not None}
